"""The moment at which everybody begins: a file with a time of the clock that all processes here share."""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["give", "wait"]

_LOOK_EVERY_S = 0.02


def give(file: Path, begins_at: float) -> None:
    """Lets the play begin. begins_at: in this machine's monotonic seconds, a little in the future."""
    whole = file.with_suffix(".new")
    whole.write_text(repr(begins_at))
    os.replace(whole, file)


def wait(file: Path) -> float:
    """Waits for the cue; the time at which the play begins, in monotonic seconds."""
    while not file.exists():
        time.sleep(_LOOK_EVERY_S)
    return float(file.read_text())
