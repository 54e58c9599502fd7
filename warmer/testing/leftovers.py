"""Temporary folders, removed at exit at the latest: by the process that made them, not by its forks."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_made: dict[Path, int] = {}


def temporary_folder(prefix: str) -> Path:
    """A new folder with a short path in the system's temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    _made[folder] = os.getpid()
    return folder


def remove(folder: Path) -> None:
    """Remove a temporary folder and what is in it; one that has gone already is fine."""
    _made.pop(folder, None)
    shutil.rmtree(folder, ignore_errors=True)


@atexit.register
def _remove_all() -> None:
    for folder, maker in list(_made.items()):
        if maker == os.getpid():
            remove(folder)
