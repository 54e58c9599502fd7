"""Installing, showing, checking and removing the triggers of a database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection

from warmer.errors import OutboxMissing, TriggersUnsupported
from warmer.outbox import schema
from warmer.outbox.rows import PLAIN_SQL
from warmer.triggers import postgresql, postgresql_tables, sqlite
from warmer.triggers.tables import Installed, Plan, Wanted, Watched

if TYPE_CHECKING:
    from warmer.namespace import Warmer

_MAKERS: Final[dict[str, ModuleType]] = {"postgresql": postgresql, "sqlite": sqlite}


@dataclass(frozen=True, slots=True)
class State:
    """A database's triggers of one namespace, held against what they should be.

    plans: what its tables should have. current: the tables that have it. missing, outdated: those that have
    none, and those that have others or not all. absent: names that queries depend on and that no table has
    here: a view, a table of another database, a mistake. spare: tables with triggers that this project's
    queries don't ask for.
    """

    plans: tuple[Plan, ...]
    current: tuple[str, ...]
    missing: tuple[str, ...]
    outdated: tuple[str, ...]
    absent: tuple[str, ...]
    spare: tuple[str, ...]

    @property
    def any(self) -> bool:
        """Whether the namespace has triggers here."""
        return bool(self.current or self.outdated or self.spare)


def look(connection: Connection, namespace: Warmer, wanted: Wanted) -> State:
    """Hold what is there against what is wanted. Raises TriggersUnsupported, OutboxMissing."""
    plans, absent = _plans(connection, namespace, wanted)
    there = {(one.schema, one.table): one for one in _installed(connection, namespace.namespace)}
    sorts: dict[str, list[str]] = {"current": [], "missing": [], "outdated": []}
    for plan in plans:
        one = there.pop((plan.watched.schema, plan.watched.table), None)
        same = one is not None and one.whole and one.digest == plan.digest
        sorts["missing" if one is None else "current" if same else "outdated"].append(_name(plan.watched))
    spare = tuple(_name(one) for one in there.values())
    told = {name: tuple(tables) for name, tables in sorts.items()}
    return State(tuple(plans), told["current"], told["missing"], told["outdated"], tuple(absent), spare)


def install(connection: Connection, namespace: Warmer, wanted: Wanted) -> State:
    """Make the triggers what they should be, in the connection's transaction; what they were before.

    Tables whose triggers are as they should be are not touched, and not locked. Those that this project's
    queries don't depend on keep theirs. Raises TriggersUnsupported, OutboxMissing.
    """
    before = look(connection, namespace, wanted)
    raw = connection.connection.dbapi_connection
    if connection.dialect.name == "sqlite" and not getattr(raw, "in_transaction", True):
        _run(connection, ["BEGIN IMMEDIATE"])  # Python's driver begins none for DDL
    for plan in before.plans:
        if _name(plan.watched) in before.current:
            continue
        for one in _installed(connection, namespace.namespace):
            if (one.schema, one.table) == (plan.watched.schema, plan.watched.table):
                _run(connection, one.drops)
        _run(connection, plan.creates)
    return before


def show(connection: Connection, namespace: Warmer, wanted: Wanted) -> list[str]:
    """The statements that `install` runs on an empty database. Raises TriggersUnsupported, OutboxMissing."""
    plans, _ = _plans(connection, namespace, wanted)
    return [statement for plan in plans for statement in plan.creates]


def supported(connection: Connection) -> bool:
    """Whether this kind of database can have triggers."""
    return connection.dialect.name in _MAKERS


def remove(connection: Connection, namespace: str | None) -> list[str]:
    """Take away all triggers of a namespace, or of every one; the tables that had some."""
    _maker(connection)
    found = _installed(connection, namespace)
    for one in found:
        _run(connection, one.drops)
    if connection.dialect.name == "sqlite" and not _installed(connection, None):
        _run(connection, [f"DROP TABLE IF EXISTS {sqlite.COVERED}"])
    return [_name(one) for one in found if one.table]


def installed(connection: Connection, namespace: str | None = None) -> set[str]:
    """The tables, by the names that queries depend on them by, whose triggers are there and fire.

    Empty where triggers can't be had. Asks the database's catalog once.
    """
    if not supported(connection):
        return set()
    return {name for one in _installed(connection, namespace) if one.whole for name in one.names}


def tables_with(connection: Connection, namespace: str) -> list[str]:
    """The tables of the database that have triggers of a namespace, whole or not."""
    found = _installed(connection, namespace) if supported(connection) else []
    return [_name(one) for one in found]


def _plans(connection: Connection, namespace: Warmer, wanted: Wanted) -> tuple[list[Plan], list[str]]:
    maker = _maker(connection)
    if not schema.exists(connection):
        raise OutboxMissing(_url(connection), f"no table {schema.outbox.name}")
    if maker is sqlite:
        home, (found, absent) = "", sqlite.watched(connection, wanted)
    else:
        home = postgresql_tables.home(connection) or "public"
        found, absent = postgresql_tables.watched(connection, wanted)
    notify = namespace.settings.triggers_notify == "always"
    return [maker.plan(namespace.namespace, home, one, notify) for one in found], absent


def _installed(connection: Connection, namespace: str | None) -> list[Installed]:
    maker = _maker(connection)
    rows = connection.exec_driver_sql(maker.ASK, execution_options=PLAIN_SQL).all()
    found: list[Installed] = maker.read(rows)
    return [one for one in found if namespace is None or one.namespace == namespace]


def _maker(connection: Connection) -> ModuleType:
    maker = _MAKERS.get(connection.dialect.name)
    if maker is None:
        raise TriggersUnsupported(_url(connection), connection.dialect.name)
    return maker


def _url(connection: Connection) -> str:
    return connection.engine.url.render_as_string()


def _name(one: Watched | Installed) -> str:
    return f"{one.schema}.{one.table}".lstrip(".")


def _run(connection: Connection, statements: Iterable[str]) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement, execution_options=PLAIN_SQL)


__all__ = ["State", "install", "installed", "look", "remove", "show", "supported", "tables_with"]
