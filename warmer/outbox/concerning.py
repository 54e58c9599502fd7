"""Whether what an open transaction has changed so far concerns an entry: by names, as at its COMMIT."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from warmer.core.changes import RowShape, hits_of
from warmer.core.names import table_name, whole_name
from warmer.outbox.pending import Frame, Pending
from warmer.runtime.modes import Past, past


def has_written(pending: Pending) -> None:
    """A tracked transaction writes in this context: from now on, reads look at whether that concerns them."""
    pending.wrote = True
    mode = past.get()
    if mode is None:
        past.set(Past(loading=False, pending=(pending,)))
    elif mode.loading:
        if pending.begun_in is mode:
            mode.unsettled.add(pending)
    elif mode.pending and pending not in mode.pending:
        still_open = (one for one in mode.pending if not one.over)
        past.set(Past(loading=False, pending=(*still_open, pending)))


def concerns(
    pending: Pending, names: Collection[str], shapes: Mapping[str, Iterable[RowShape]], *, found: bool
) -> bool:
    """Whether an entry of these names is among what a transaction has changed so far.

    What inserted and moved rows hold is read just before the COMMIT: until then they stand for their whole
    table. found: the entry's tables are found by its loads, and not among its names: any row may be of one.
    """
    for frame in pending.frames:
        if found and (frame.touched or frame.changes.rows):
            return True
        if not _hit_by(frame, shapes).isdisjoint(names):
            return True
    return False


def _hit_by(frame: Frame, shapes: Mapping[str, Iterable[RowShape]]) -> frozenset[str]:
    """The names that a frame hits, made anew when it has grown: a loop of reads must not pay for each row."""
    changes, touched = frame.changes, frame.touched
    # What a frame holds only grows, so as many are the same ones.
    size = (
        tuple(-1 if images is None else len(images) for images in changes.rows.values()),
        *(len(some) for some in (changes.names, changes.entries, changes.queries, changes.parts, touched)),
    )
    if frame.hit is not None and frame.hit[0] == size and frame.hit[1] is shapes:
        return frame.hit[2]
    hit = {*hits_of(changes, shapes).names, *(entry.name for entry in changes.entries)}
    for table in touched:
        hit |= {table_name(table.fullname), whole_name(table.fullname)}
    names = frozenset(hit)
    frame.hit = (size, shapes, names)
    return names


__all__ = ["concerns", "has_written"]
