"""The ttl of a result that is about to be stored: as declared, or learned from what its loads have found."""

from __future__ import annotations

from warmer.core.adaptive import History
from warmer.core.header import Header
from warmer.core.payload import digest_in
from warmer.options import Options
from warmer.store.operations import Lease, Store


def ttl_of(store: Store, lease: Lease, options: Options, digest: bytes) -> tuple[int, str]:
    """Its ttl in microseconds, and what is to be remembered of its loads ("" where nothing is learned).

    digest: of the result. An observation is made where a value is still stored and was not invalidated: what
    somebody told of says nothing about changes that nobody tells of. Raises ServerError.
    """
    rule = options.adaptive
    if rule is None:
        return options.ttl_us, ""
    front, record = store.recall(lease.entry)
    history, before, known = History.read(record), Header.read(front), digest_in(front)
    if before is not None and known:
        history = history.after(lease.stamp - before.stamp, known != digest, rule)
    return history.interval_us(rule), history.record()
