"""Quarantine: versions that failed, kept aside with the reason, within bounds.

    quarantine/<expert>-<version>-<time>/reason.txt, bundle/…

The reason is written before the bundle is moved in: a place without a bundle, of a version that is still in the store,
was left half done. A version's number is spent by lying here, unless only the disk hurt it. Knows no fleet.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from .disk import Disk, Layout

# Bundles older than the newest stay while they take no more than this together; their reasons stay longer.
KEPT_BYTES = 2**30
# Of each expert, so many reasons.
KEPT_REASONS = 32
MAX_REASON_BYTES = 64 * 2**10

# Beside what the disk hurt: its version number is not spent.
_DAMAGED = "damaged"
_REASON = "reason.txt"
_BUNDLE = "bundle"


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A version that failed. damaged: the disk hurt it, it did not fail by itself. home: its place in quarantine."""

    version: int
    reason: str
    time: datetime
    damaged: bool
    home: Path


@dataclass(frozen=True, slots=True)
class _Place:
    expert: str
    version: int
    time: str
    home: Path

    @property
    def bundle(self) -> Path:
        return self.home / _BUNDLE

    @property
    def damaged(self) -> bool:
        return (self.home / _DAMAGED).exists()


class Quarantine:
    """The folder itself is the record: nothing is remembered beside it. One caller at a time may change it."""

    def __init__(self, layout: Layout, disk: Disk) -> None:
        self._layout = layout
        self._disk = disk

    def of(self, name: str) -> tuple[Quarantined, ...]:
        """What lies here of one expert, the newest last."""
        return tuple(
            Quarantined(
                version=place.version,
                reason=_read(place.home / _REASON),
                time=datetime.strptime(place.time, "%Y%m%dT%H%M%S.%f").replace(tzinfo=UTC),
                damaged=place.damaged,
                home=place.home,
            )
            for place in self._places()
            if place.expert == name
        )

    def spent(self, name: str) -> int:
        """The highest version number that failed by itself; 0: none."""
        places = sorted((place for place in self._places() if place.expert == name), key=lambda place: -place.version)
        return next((place.version for place in places if not place.damaged), 0)

    def put(
        self, name: str, version: int, folder: Path, reason: str, *, damaged: bool, withdraw: Callable[[], None]
    ) -> Path:
        """Moves the bundle in `folder` here. withdraw: makes sure that nothing points to it, when there is room here.

        Raises: OSError, and the bundle lies where it lay.
        """
        home = self._layout.quarantined(name, version, datetime.now(UTC))
        try:
            self._disk.make_folder(home)
            told = reason.encode("utf-8", "replace")[:MAX_REASON_BYTES]
            self._disk.write(home / _REASON, [told, b"\n"])
            if damaged:
                self._disk.write(home / _DAMAGED, [])
            self._disk.sync_folder(home)
            self._disk.sync_folder(self._layout.quarantine)
            withdraw()
            self._disk.rename(folder, home / _BUNDLE)
        except OSError:
            with suppress(OSError):  # Else the next opening finds it.
                self._disk.delete(home)
            raise
        self._disk.sync_folder(home)
        self._disk.sync_folder(folder.parent)
        return home

    def trim(self, keep: int | None = None) -> None:
        """Deletes old bundles, then old reasons. The newest bundle stays; with it others up to `keep`, as long as these
        take no more than `KEPT_BYTES` together.

        What was damaged goes with its reason: sound bytes may have come under its number since.
        """
        places = self._places()
        whole = [place for place in reversed(places) if place.bundle.exists()]
        taken = 0
        for number, place in enumerate(whole):
            taken += _size(place.bundle) if number else 0
            if number and (taken > KEPT_BYTES or (keep is not None and number >= keep)):
                self._take_away(place.home if place.damaged else place.bundle)
        told: Counter[str] = Counter()
        for place in reversed(places):
            told[place.expert] += 1
            if told[place.expert] > KEPT_REASONS and place.version < self.spent(place.expert):
                self._take_away(place.home)

    def forget(self, name: str) -> None:
        """Deletes all that lies here of one expert."""
        for place in self._places():
            if place.expert == name:
                self._take_away(place.home)

    def undo_half_done(self, here: Callable[[str], tuple[int, ...]]) -> Iterator[str]:
        """After a crash. here: name → its versions in the store. Says what was undone."""
        for place in self._places():
            if not place.bundle.exists() and place.version in here(place.expert):
                self._disk.delete(place.home)
                yield f"quarantine/{place.home.name}: left half done by a crash; undone"

    def _places(self) -> list[_Place]:
        """Everything here, the newest last."""
        matches = (
            re.fullmatch(r"([a-z][a-z0-9-]*)-([0-9]+)-([0-9]{8}T[0-9]{6}\.[0-9]{6})Z", entry)
            for entry in os.listdir(self._layout.quarantine)
        )
        places = (_Place(m[1], int(m[2]), m[3], self._layout.quarantine / m[0]) for m in matches if m)
        return sorted(places, key=lambda place: place.time)

    def _take_away(self, path: Path) -> None:
        if path.exists():
            self._disk.take_away(path, self._layout.token())


def _read(path: Path) -> str:
    with suppress(OSError), path.open("rb") as file:
        return file.read(MAX_REASON_BYTES).decode("utf-8", "replace").strip()
    return ""


def _size(folder: Path) -> int:
    with suppress(OSError):
        return sum(entry.stat().st_size for entry in folder.rglob("*"))
    return 0
