"""Waiting until replicas have what the primary was told, where `invalidate_replicas` asks for it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from warmer.errors import InvalidationNotReplicated
from warmer.store.operations import FENCE_AGE_US, FENCE_NAMES, Store
from warmer.store.scripts import Call


def await_replicas(store: Store, names: Sequence[str]) -> None:
    """Return when as many replicas as are asked for have all that this process has written until now.

    names: what was invalidated, for the error. Raises InvalidationNotReplicated after `invalidate_timeout`.
    """
    wanted, timeout_s = store.settings.invalidate_replicas, store.settings.invalidate_timeout
    if not wanted:
        return
    until_s = time.monotonic() + timeout_s
    # WAIT is about what its own connection has written. Replicas get everything in one order, so whoever has
    # this stamp has what was written before it on any connection.
    mark = Call("stamp", store.roots[0], [FENCE_NAMES, FENCE_AGE_US])
    while True:
        left_s = max(0.001, until_s - time.monotonic())
        # In parts, so that the server's silence is not taken for its absence.
        part_ms = max(1, round(min(left_s, store.settings.command_timeout / 2) * 1000))
        wait = Call("", b"", ["WAIT", wanted, part_ms])
        confirmed = int(store.confirmed(names, lambda last=wait: store.scripts.run_all([mark, last]))[1])
        if confirmed >= wanted:
            return
        if time.monotonic() >= until_s:
            raise InvalidationNotReplicated(tuple(names), confirmed, wanted, timeout_s)
