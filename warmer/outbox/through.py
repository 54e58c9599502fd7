"""That all invalidations of a namespace go through one outbox: said in its database, then on every shard.

The scripts that invalidate hold everybody to it (see _fence.lua). So of data in which it is said, nothing was
invalidated since that is not in the outbox. The database decides: data from before an end does not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, select, update

from warmer.core.keyspace import keyspace
from warmer.errors import NotOneOutbox
from warmer.outbox import horizon
from warmer.outbox.schema import IDENTITY, facts, note_fact, outbox
from warmer.store.scripts import Call

if TYPE_CHECKING:
    from warmer.outbox.databases import Database
    from warmer.store.operations import Store

_OURS: Final[dict[str, Any]] = {"warmer_ours": True}
_ENDED: Final = " ended"
_FIELD: Final = "through"


def identity_of(database: Database) -> str:
    """The database's identity, "" if it has none. Raises DatabaseUnreachable, OutboxMissing."""
    return database.run(lambda connection: _value(connection, IDENTITY))


def begin(connection: Connection, namespace: str) -> str:
    """Have it said in the database, unless it is: what data in which it is said must say.

    What was applied before is in such data, whatever release marked it.
    """
    name = f"{_FIELD}:{namespace}"
    note_fact(connection, name, "0" + _ENDED)
    told = _value(connection, name)
    if told.endswith(_ENDED):
        count = str(int(told.removesuffix(_ENDED)) + 1)
        begun = update(facts).where(facts.c.name == name, facts.c.value == told).values(value=count)
        if connection.execute(begun, execution_options=_OURS).rowcount == 1:
            before = (
                update(outbox)
                .where(
                    outbox.c.namespace == namespace, outbox.c.life.is_(None), outbox.c.applied_at.is_not(None)
                )
                .values(life="")
            )
            connection.execute(before, execution_options=_OURS)
            horizon.forget_unknown(connection, namespace)
        told = _value(connection, name)
    return f"{_value(connection, IDENTITY)}:{told}"


def said(connection: Connection, namespace: str) -> str:
    """What data must say for it to hold, as `begin` gave it; "" while it does not."""
    told = _value(connection, f"{_FIELD}:{namespace}")
    return "" if not told or told.endswith(_ENDED) else f"{_value(connection, IDENTITY)}:{told}"


def end(connection: Connection, namespace: str) -> bool:
    """Have the database say that it is over; whether it was not."""
    name = f"{_FIELD}:{namespace}"
    told = _value(connection, name)
    if not told or told.endswith(_ENDED):
        return False
    over = update(facts).where(facts.c.name == name, facts.c.value == told).values(value=told + _ENDED)
    return connection.execute(over, execution_options=_OURS).rowcount == 1


def tell(store: Store, token: str) -> None:
    """Say it on every shard; on the first one last, so that what says it there says it everywhere.

    Raises NotOneOutbox where another database's outbox is named, and ServerError.
    """
    there = store.command("HGET", keyspace(store.namespace, 0).life, _FIELD)
    if there == token.encode():
        return
    if there is not None and there.decode().partition(":")[0] != token.partition(":")[0]:
        raise NotOneOutbox(store.namespace, "Redis says that they go through another database's")
    for roots in (store.roots[1:], store.roots[:1]):
        store.scripts.run_all([Call("say_through", root, [token]) for root in roots])


def untell(store: Store) -> None:
    """Take it back from every shard, once the database says so: anybody may invalidate directly."""
    keys = [keyspace(store.namespace, shard).life for shard in range(store.settings.shards)]
    store.scripts.run_all([Call("", b"", ["HDEL", key, _FIELD]) for key in keys])


def _value(connection: Connection, name: str) -> str:
    found = connection.execute(select(facts.c.value).where(facts.c.name == name), execution_options=_OURS)
    return found.scalar_one_or_none() or ""


__all__ = ["begin", "end", "identity_of", "said", "tell", "untell"]
