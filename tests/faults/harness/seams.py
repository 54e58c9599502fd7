"""Parts of the protocol that a run can be made without, to see that the run finds what each is there for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Column, event, inspect
from sqlalchemy.orm import Session

from tests.faults.harness.tables import Flight
from tests.faults.races.seams import SEAMS as OF_SCRIPTS
from warmer import invalidation
from warmer.capture import statements
from warmer.core.header import read_times
from warmer.near.near import Near
from warmer.near.reading import NearReading
from warmer.outbox import rows
from warmer.outbox.elsewhere import Elsewhere
from warmer.outbox.relay import Relay
from warmer.outbox.trust import Trust
from warmer.reading import Reading


def without_outbox() -> None:
    """Nothing is written before COMMIT; what the process means to invalidate, it still does."""
    rows.write = lambda *_, **__: 0


def without_relay() -> None:
    """Rows are written, and nobody looks at what is left."""
    Relay.step = lambda self: 0  # type: ignore[method-assign]


def without_old_values() -> None:
    """Where a row was before, the ORM is asked and not the database."""
    remembered: dict[int, str] = {}

    def note(session: Session, *_: Any) -> None:
        remembered.clear()
        for row in session.dirty:
            if isinstance(row, Flight):
                history = inspect(row).attrs.carrier.history
                remembered[row.id] = [*(history.deleted or ()), *(history.unchanged or ())][0]

    def read(
        self: Any, connection: Any, pending: Any, table: Any, columns: Any, found: Any, keys: int
    ) -> None:
        def images(columns: Sequence[Column[Any]], rows: Iterable[Sequence[Any]]) -> Any:
            names = [column.name for column in columns]
            if "carrier" not in names:
                return original(columns, rows)
            told = []
            for row in rows:
                values = dict(zip(names, row, strict=True))
                values["carrier"] = remembered.get(values["id"], values["carrier"])
                told.append(tuple(values.values()))
            return original(columns, told)

        original, statements._images = statements._images, images
        try:
            reading(self, connection, pending, table, columns, found, keys)
        finally:
            statements._images = original

    event.listen(Session, "before_flush", note)
    reading = statements.Statements._read
    statements.Statements._read = read  # type: ignore[method-assign]


def without_owner() -> None:
    """A reader does not look whose value is under its key."""
    Reading._is_foreign = lambda self, owner, args: False  # type: ignore[method-assign]


def without_life() -> None:
    """A reader does not look of which life of the server an entry is."""
    hit = Reading.hit

    def hitting(self: Any, runtime: Any, key: bytes, args: Any, found: Any, life: bytes) -> Any:
        times = read_times(found) if type(found) is bytes else None
        return hit(self, runtime, key, args, found, life if times is None else times[1])

    Reading.hit = hitting  # type: ignore[method-assign]


def without_messages() -> None:
    """Near copies go with their seconds, and nothing else takes them."""
    for name in ("changed", "drop", "drop_under", "doubt"):
        setattr(Near, name, lambda *_: None)


def without_seconds() -> None:
    """Near copies go by messages alone, and there are none of what others do."""
    Near.changed = lambda *_: None  # type: ignore[method-assign]
    NearReading._deadlines = lambda *_: (math.inf, math.inf)  # type: ignore[method-assign]


def without_putting_off() -> None:
    """What is invalidated inside a transaction is invalidated there and then."""
    invalidation.put_off = lambda *_: False  # type: ignore[attr-defined]


def without_replay() -> None:
    """What the server has stored is trusted again, and what it lacks is not applied to it."""
    Trust._apply = lambda *_: True  # type: ignore[method-assign]
    Elsewhere.apply = lambda *_: 0  # type: ignore[method-assign]


def without_declaring() -> None:
    """Nothing to do here: the run itself declares the query as eventual, or installs no triggers."""


SEAMS: dict[str, Callable[[], None]] = OF_SCRIPTS | {
    "outbox": without_outbox,
    "relay": without_relay,
    "old-values": without_old_values,
    "owner": without_owner,
    "life": without_life,
    "put-off": without_putting_off,
    "messages": without_messages,
    "seconds": without_seconds,
    "replay": without_replay,
    "strict": without_declaring,
    "triggers": without_declaring,
}
