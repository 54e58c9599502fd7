"""Whether a copy is what is stored still, as the first bytes of the entry tell.

A GET brings a header and a payload. The first bytes bring the header, too, and what the payload begins
with: the checksum of all the rest, the digest of the result, whose it is, the names that its load found. If
these are the copy's, byte for byte, then so is the value. So they are as good as that GET would have been
at that moment, for a hundredth of its bytes, and a copy that they confirm is kept by the same rule as what
a GET brought: with the turn that its key had before it was asked for.

An unchanged refresh is what this is for. What else may have happened shows in the header, and the entry is
read as a whole then: another life of the server, another owner, an invalidation (also one that lets the value
be served for a while), a value that is not fresh. Two seals of one value differ, so what is sealed is read
anew, too, unless it is the very same commit.
"""

from __future__ import annotations

from warmer.core.header import DIGESTED, HEADER_SIZE, INVALIDATED, UNCHANGED, Times, read_times
from warmer.near.copies import Copy


def confirmed(copy: Copy, front: bytes, life: bytes, now_us: float) -> Times | None:
    """A copy's times, by the first bytes of its entry, read in this life. None: the entry must be read."""
    times = read_times(front)
    if times is None or front[HEADER_SIZE:] != copy.front[HEADER_SIZE:]:
        return None
    flags, of_life, stamp, stored_at, fresh_for, grace_for, _ = times
    age_us = now_us - stored_at
    same = of_life == life and not (flags ^ copy.times[0]) & ~(UNCHANGED | INVALIDATED)
    sound = flags & DIGESTED and not flags & INVALIDATED and 0 < stamp < 2**53
    return times if same and sound and age_us < fresh_for and age_us < grace_for else None
