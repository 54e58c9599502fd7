"""What Warmer warns of: nothing is wrong yet, and it would be said too late otherwise."""

from __future__ import annotations


class WarmerWarning(UserWarning):
    """A call that works, and will hurt. Silence it, or make it an error, as any warning of Python's."""

    __module__ = "warmer"
