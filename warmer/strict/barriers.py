"""Barriers on the server: raised in every shard before COMMIT, lowered when the outcome is known."""

from __future__ import annotations

import json
import uuid
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from warmer.errors import BarrierNotRaised, ServerError
from warmer.store.operations import CHUNK, FENCE_AGE_US, FENCE_NAMES
from warmer.store.removing import remove_listed
from warmer.store.scripts import Call

if TYPE_CHECKING:
    from collections.abc import Sequence

    from warmer.store.operations import Store
    from warmer.store.scripts import Argument


@dataclass(frozen=True, slots=True)
class Barrier:
    """One transaction's. database: its identity; transaction: its id there, "" where the dialect has none.

    row: its row of the outbox. names: what it bars.
    """

    token: str
    database: str
    dialect: str
    transaction: str
    row: int
    names: tuple[str, ...]

    @classmethod
    def of(cls, database: str, dialect: str, transaction: str, row: int, names: Sequence[str]) -> Barrier:
        """A new one, not raised."""
        return cls(uuid.uuid4().hex[:16], database, dialect, transaction, row, tuple(names))

    def record(self) -> str:
        """As it is kept on the server, by token."""
        return json.dumps(astuple(self)[1:], separators=(",", ":"))

    @classmethod
    def read(cls, token: str, record: str) -> Barrier:
        """The barrier of a record. Raises ValueError for what is none."""
        try:
            database, dialect, transaction, row, names = json.loads(record)
            return cls(token, str(database), str(dialect), str(transaction), int(row), tuple(names))
        except TypeError as exc:
            raise ValueError("not the record of a barrier") from exc


class Barriers:
    """Raises and lowers them. most: members that one may drop."""

    def __init__(self, store: Store, most: int) -> None:
        self._store, self._most = store, most

    def raise_(self, barrier: Barrier) -> None:
        """Bar its names, and drop what is stored under them.

        Raises BarrierNotRaised: what is up of it then has been lowered, or is left to whoever resolves it.
        """
        try:
            listed = self._raised(barrier)
        except ServerError as exc:
            self._give_up(barrier)
            raise BarrierNotRaised(barrier.names[:20], str(exc)) from exc
        if listed > self._most:
            self._give_up(barrier)
            cause = (
                f"{listed:,} entries of strict queries stand under what it changes, and a commit may drop "
                f"{self._most:,} (strict_max_entries)"
            )
            raise BarrierNotRaised(barrier.names[:20], cause)

    def _raised(self, barrier: Barrier) -> int:
        """How many members are listed; above the limit, at least one shard has done nothing."""
        store, calls = self._store, []
        for shard, root in enumerate(store.roots):
            record = "" if shard else barrier.record()
            args: list[Argument] = [barrier.token, record, self._most, CHUNK, FENCE_NAMES, FENCE_AGE_US]
            calls.append(Call("raise_barrier", root, [*args, *barrier.names]))
        replies = store.confirmed(barrier.names[:20], lambda: store.scripts.run_all(calls))
        over = [int(reply[2]) for reply in replies if reply[0] == b"over"]
        listed = sum(over) + sum(int(reply[3]) for reply in replies if reply[0] == b"raised")
        if over or listed > self._most:
            return max(listed, self._most + 1)
        left = [(shard, name.decode()) for shard, reply in enumerate(replies) for name in reply[4:]]
        if left:
            stamps = [int(reply[2]) for reply in replies]
            remove_listed(store, stamps, left, lambda *_: 0, store.confirmed)
        return listed

    def _give_up(self, barrier: Barrier) -> None:
        """It may be up in some shards. Its transaction is about to fail; the relay lowers what stays."""
        try:
            self._lower(barrier)
        except ServerError:
            return

    def lower(self, barrier: Barrier) -> None:
        """Take it down, with a stamp, when its outcome is known. Again does no harm. Raises ServerError."""
        self._store.confirmed(barrier.names[:20], lambda: self._lower(barrier))

    def _lower(self, barrier: Barrier) -> None:
        args: list[Argument] = [barrier.token, FENCE_NAMES, FENCE_AGE_US, *barrier.names]
        # The shard with the record comes last: while anything is up, it can be found.
        calls = [Call("lower_barrier", root, args) for root in reversed(self._store.roots)]
        self._store.scripts.run_all(calls)
