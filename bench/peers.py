"""Environments of the peers' own, below build/: never into the project's. Knows no peer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .report import ROOT

INSTALL_TIMEOUT_S = 420.0


def installed(name: str, packages: Sequence[str]) -> Path:
    """The interpreter of an environment that has these from the package index.

    Raises: RuntimeError, SubprocessError, OSError.
    """
    home = ROOT / "build" / f"peers-{name}"
    python, done = home / "bin" / "python", home / "installed"
    if not done.exists():
        shutil.rmtree(home, ignore_errors=True)
        print(f"  installing {' '.join(packages)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
        pip = subprocess.run(
            command, env=plain_environment(), timeout=INSTALL_TIMEOUT_S, capture_output=True, text=True, check=False
        )
        if pip.returncode:
            raise RuntimeError(f"it cannot be installed: {pip.stderr[-400:]}")
        done.touch()
    return python


def plain_environment() -> dict[str, str]:
    """Ours, without the way to our own packages."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
