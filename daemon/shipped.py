"""What is to serve when the daemon starts: the store's current versions, and what came along with a new release.

A shipped expert that the operator removed stays away until it is installed again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from expertd.experts import errors
from expertd.experts.bundle import MANIFEST, Bundle
from expertd.experts.store import Store, claimed

from .drop_in import is_here, lacking

log = logging.getLogger(__name__)

SHIPPED = Path(errors.__file__).parent / "bundles"


class Shipped:
    """folders: where bundles lie that are taken in by themselves. state: where removals are remembered."""

    def __init__(self, store: Store, folders: tuple[Path, ...], state: Path) -> None:
        self._store = store
        self._folders = folders
        self._removed_file = state / "removed.txt"

    def bundles(self) -> list[Bundle]:
        """One version per expert, the newest that came along or else the current one. What breaks a rule is logged."""
        fresh = {bundle.manifest.name: bundle for bundle in self._take_in()}
        current: dict[str, Bundle] = {}
        for name in self._store.experts():
            # One that waits for its model has never served: no version is current, and the newest still waits.
            version = self._store.current(name) or max(self._store.versions(name), default=None)
            if version is None or name in fresh:
                continue
            try:
                current[name] = self._store.bundle(name, version)
            except (errors.BundleError, errors.StoreError) as error:
                log.error("%s %d is not served: %s", name, version, error)
        return [*current.values(), *fresh.values()]

    def missing(self) -> list[str]:
        """Who came along with the release and was not removed, and yet has no version in the store that could serve."""
        return sorted({folder.name for folder in self._candidates()} - self._removed() - set(self._store.experts()))

    def is_removed(self, name: str) -> bool:
        """Whether the operator removed this expert, and did not install it again."""
        return name in self._removed()

    def remove(self, name: str) -> None:
        """Remembers that this expert is not wanted. Raises: StoreError when it cannot be written."""
        self._remember(self._removed() | {name})

    def restore(self, name: str) -> None:
        """It was installed again. Raises: StoreError when it cannot be written."""
        if name in (removed := self._removed()):
            self._remember(removed - {name})

    def _take_in(self) -> Iterator[Bundle]:
        removed = self._removed()
        for folder in self._candidates():
            try:
                # A look at two fields spares reading what is here already; `admit` believes nothing.
                claim = claimed(folder)
                if (claim is not None and claim[0] in removed) or is_here(self._store, folder):
                    continue
                if missing := lacking(folder):
                    log.warning("%s is not taken in: it is not complete: %s", folder, missing)
                    continue
                yield self._store.admit(folder)
            except (errors.BundleError, errors.StoreError) as error:
                log.warning("%s is not taken in: %s", folder, error)

    def _candidates(self) -> Iterator[Path]:
        for home in self._folders:
            if home.is_dir():
                yield from sorted(folder for folder in home.iterdir() if (folder / MANIFEST).is_file())

    def _removed(self) -> frozenset[str]:
        try:
            return frozenset(self._removed_file.read_text("utf-8").split())
        except FileNotFoundError:
            pass
        except (OSError, UnicodeDecodeError) as error:
            log.warning("%s cannot be read, what was removed comes back: %s", self._removed_file, error)
        return frozenset()

    def _remember(self, names: frozenset[str]) -> None:
        part = self._removed_file.with_suffix(".part")
        try:
            part.write_text("".join(f"{name}\n" for name in sorted(names)), "utf-8")
            os.replace(part, self._removed_file)
        except OSError as error:
            raise errors.StoreError(f"{self._removed_file}: cannot be written: {error.strerror}") from error
