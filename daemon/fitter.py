"""Fits a route index in a process of its own: seconds of arithmetic beside requests that take a millisecond.

    python -m expertd.daemon.fitter --folder FOLDER --parent PID

The folder holds the job and the features, and gets the index. The process is polite where an index serves already, its
memory goes with it, and it dies with the daemon. Knows no bundle, no edit and no cache.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from expertd.router.background import Background
from expertd.router.decision import Intent
from expertd.router.index import RouteIndex
from expertd.router.language import ENGLISH, Recogniser

JOB = "job.json"
FEATURES = "features.npy"
INDEX = "index.npz"
# Of the folders, under the temporary one.
PREFIX = "expertd-fit-"

# Enough that whoever answers requests goes first, little enough that a busy machine still gets it done.
POLITENESS = 15
# Sentences of one expert in another language: fewer may be quotations.
SPOKEN_FROM = 5


class FitError(Exception):
    """The process did not give an index; the text says why."""


class Job(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """intents: in the order of the features' rows. polite: leave the processor to others."""

    intents: tuple[Intent, ...]
    reject_in_scope: float
    polite: bool


def fit(job: Job, features: npt.NDArray[Any]) -> RouteIndex:
    """In this process. features: (n, 1536), one row per sentence."""
    return RouteIndex.fit(
        job.intents,
        features.astype(np.float32),
        Background.load(),
        reject_in_scope=job.reject_in_scope,
        languages=spoken(job.intents, Recogniser.load()),
    )


def spoken(intents: Sequence[Intent], recogniser: Recogniser) -> frozenset[str]:
    """Languages that the experts' own sentences are in: English, and each that one expert has several of."""
    seen = Counter(
        (intent.expert, language.code)
        for intent in intents
        for sentence in intent.sentences
        if (language := recogniser.foreign(sentence)) is not None
    )
    return ENGLISH | {code for (_, code), times in seen.items() if times >= SPOKEN_FROM}


async def fit_apart(job: Job, features: npt.NDArray[np.float16]) -> RouteIndex:
    """As `fit`, in a process of its own; calling it off ends the process.

    Raises: FitError, OSError when the process or its folder cannot be made.
    """
    await asyncio.to_thread(_sweep)
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name, _held(folder := Path(name)):
        await asyncio.to_thread(_hand_over, folder, job, features)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "expertd.daemon.fitter", "--folder", name, "--parent", str(os.getpid())),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            process_group=0,  # Ctrl-C in the daemon's terminal is the daemon's to handle
        )
        try:
            _, said = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        try:
            return await asyncio.to_thread(RouteIndex.load, folder / INDEX)
        except (OSError, ValueError) as error:
            last_words = said.decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise FitError(f"the fitting process ended with {process.returncode} ({last_words or error})") from None


def _sweep() -> None:
    """Deletes the folders of daemons that were killed amid a fit: those that nobody holds. They hold sentences."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), _held(folder):
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Nobody else holds it meanwhile, and who dies lets go of it. Raises: OSError: it is held, or not a folder."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _hand_over(folder: Path, job: Job, features: npt.NDArray[np.float16]) -> None:
    np.save(folder / FEATURES, features)
    (folder / JOB).write_bytes(msgspec.json.encode(job))


def main(arguments: Sequence[str] | None = None) -> int:
    from .worker import harden

    parser = argparse.ArgumentParser(prog="expertd-fitter")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--parent", type=int, required=True, help="the process to die with")
    options = parser.parse_args(arguments)
    harden(options.parent)
    job = msgspec.json.decode((options.folder / JOB).read_bytes(), type=Job)
    if job.polite:
        with contextlib.suppress(OSError):
            os.nice(POLITENESS)
    fit(job, np.load(options.folder / FEATURES, allow_pickle=False)).save(options.folder / INDEX)
    return 0


if __name__ == "__main__":
    sys.exit(main())
