"""How far back the outbox is whole: the newest stamp, in each life of the server, of rows that were taken.

Data of that life with an older stamp lacks something that nobody can apply again.

That would have to be remembered of every life that there has been. So once a life has lasted for longer than
rows are kept, it becomes the *base*: what was taken of other lives is forgotten, and data must have come
through that life. What it began with lacked nothing that is of use: rows were applied in it that it had not.
Data from before it is older than rows are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import Connection, delete, select, update

from warmer.outbox.schema import facts, note_fact

_OURS: Final[dict[str, Any]] = {"warmer_ours": True}
#: In place of a stamp that nobody knows: later than all.
_NEVER: Final = 2**62
_BASE: Final = "base"
#: In place of the life of rows that were marked by an earlier release.
UNKNOWN: Final = "?"


def _fact(namespace: str, life: str) -> str:
    return f"pruned:{namespace}:{life}"


def move(connection: Connection, namespace: str, taken: Iterable[tuple[str | None, int | None]]) -> None:
    """Rows with these lives and stamps are taken, in this transaction."""
    newest: dict[str, int] = {}
    for life, stamp in taken:
        if life != "":
            told = UNKNOWN if life is None else life
            newest[told] = max(newest.get(told, 0), _NEVER if stamp is None or life is None else stamp)
    for life, stamp in sorted(newest.items()):
        _move_to(connection, _fact(namespace, life), stamp)


def _move_to(connection: Connection, name: str, stamp: int) -> None:
    note_fact(connection, name, "0")
    while True:
        found = select(facts.c.value).where(facts.c.name == name)
        told = connection.execute(found, execution_options=_OURS).scalar_one()
        if int(told) >= stamp:
            return
        # Another may move it at the same time: then it is looked at again.
        further = update(facts).where(facts.c.name == name, facts.c.value == told).values(value=str(stamp))
        if connection.execute(further, execution_options=_OURS).rowcount == 1:
            return


def read(connection: Connection, namespace: str) -> Mapping[str, int]:
    """The newest stamp of the rows that were taken, by life."""
    prefix = _fact(namespace, "")
    found = select(facts.c.name, facts.c.value).where(facts.c.name.startswith(prefix, autoescape=True))
    rows = connection.execute(found, execution_options=_OURS)
    return {name.removeprefix(prefix): int(value) for name, value in rows}


def rest_on(connection: Connection, namespace: str, life: str) -> None:
    """This life is the base: all that was taken was applied in it, or before, or was of no use to it."""
    others = [one for one in read(connection, namespace) if one not in (life, UNKNOWN)]
    if not others:
        return
    name = f"{_BASE}:{namespace}"
    note_fact(connection, name, life)
    moved = update(facts).where(facts.c.name == name).values(value=life)
    connection.execute(moved, execution_options=_OURS)
    gone = delete(facts).where(facts.c.name.in_([_fact(namespace, one) for one in others]))
    connection.execute(gone, execution_options=_OURS)


def base(connection: Connection, namespace: str) -> str:
    """The life that data must have come through; "": there is none."""
    found = select(facts.c.value).where(facts.c.name == f"{_BASE}:{namespace}")
    return connection.execute(found, execution_options=_OURS).scalar_one_or_none() or ""


def forget_unknown(connection: Connection, namespace: str) -> None:
    """What was taken before is in the data that anybody will ask about."""
    gone = delete(facts).where(facts.c.name == _fact(namespace, UNKNOWN))
    connection.execute(gone, execution_options=_OURS)


__all__ = ["UNKNOWN", "base", "forget_unknown", "move", "read", "rest_on"]
