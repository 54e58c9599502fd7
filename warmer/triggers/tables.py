"""Which tables and columns triggers must watch, and what is said of a table that they watch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from warmer.errors import ServerError

if TYPE_CHECKING:
    from warmer.namespace import Warmer

#: Every trigger and function of ours begins with this, and nothing else does.
PREFIX: Final = "warmer_"

Wanted = Mapping[str, tuple[str, ...]]  # the columns, by the table's name as queries depend on it


@dataclass(frozen=True, slots=True)
class Column:
    """A column and what it can be told as: see `core/raws.py` on PostgreSQL; "" on SQLite."""

    name: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Watched:
    """One table of a database.

    names: by which queries depend on it. columns: None where rows can't
    be told.
    """

    schema: str
    table: str
    names: tuple[str, ...]
    columns: tuple[Column, ...] | None
    #: SQLite: the keys of which a row may take another's place, each column with its collation.
    keys: tuple[tuple[tuple[str, str], ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What has to be installed on one table. drops: what takes it away again, whatever of it is there."""

    watched: Watched
    stem: str
    digest: str
    creates: tuple[str, ...]
    drops: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Installed:
    """The triggers that a table has. whole: whether all of them are there and fire."""

    schema: str
    table: str
    namespace: str
    names: tuple[str, ...]
    digest: str
    whole: bool
    drops: tuple[str, ...]


def wanted(namespace: Warmer) -> tuple[dict[str, tuple[str, ...]], ServerError | None]:
    """The tables that the project's queries depend on, and those that others registered in Redis.

    The error, if Redis could not be asked: then only this project's own are there.
    """
    found: dict[str, set[str]] = {}
    for reading in namespace.readings.values():
        for table in reading.dependencies.tables:
            found.setdefault(table, set())
        for table, shape in reading.dependencies.shapes:
            found.setdefault(table, set()).update(shape)
    shapes, away = namespace.runtime().shapes, None
    try:
        shapes.fetch()
    except ServerError as exc:
        away = exc
    for table in shapes.by_table():
        found.setdefault(table, set()).update(shapes.columns_of(table))
    return {table: tuple(sorted(found[table])) for table in sorted(found)}, away


def stem_of(namespace: str, schema: str, table: str) -> str:
    """What the names of a table's triggers begin with: readable, its own, and short enough."""
    told = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in table.lower())
    return f"{PREFIX}{told[:24]}_{_digest([namespace, schema, table], 6)}"


def mark_of(namespace: str, name: str) -> str:
    """Says in a statement, or beside it, that capture has told what it does to the table of this name."""
    return "warmer:" + _digest([namespace, name], 8)


def channel_of(namespace: str) -> str:
    """The channel of PostgreSQL's on which triggers wake the relays of a namespace."""
    return PREFIX + _digest([namespace], 8)


def about(namespace: str, watched: Watched, digest: str) -> str:
    """What is kept beside triggers, to know them by. No `*/` can stand in it."""
    said = {"warmer": 1, "namespace": namespace, "tables": list(watched.names), "digest": digest}
    return json.dumps(said).replace("*", "\\u002a")


def read_about(text: str | None) -> tuple[str, tuple[str, ...], str] | None:
    """(namespace, names, digest) of what `about` wrote; None for anything else."""
    try:
        said: Any = json.loads(text or "")
        return str(said["namespace"]), tuple(map(str, said["tables"])), str(said["digest"])
    except (ValueError, TypeError, KeyError):
        return None


def whole_changes(names: Iterable[str]) -> str:
    """An outbox row's text for any row of a table."""
    return json.dumps({"v": 1, "rows": dict.fromkeys(names)}, separators=(",", ":"))


def raw_changes(names: Iterable[str], columns: Iterable[Column]) -> tuple[str, str]:
    """An outbox row's text for rows that are told: what stands before them, and after them."""
    head = {"tables": list(names), "columns": [column.name for column in columns]}
    return '{"v":2,"raw":[' + json.dumps(head, separators=(",", ":"))[:-1] + ',"rows":', "}]}"


def digest_of(statements: Iterable[str]) -> str:
    """Differs whenever what is to be installed does."""
    return _digest(list(statements), 8)


def _digest(parts: list[str], size: int) -> str:
    return blake2b(json.dumps(parts).encode(), digest_size=size).hexdigest()


__all__ = [
    "PREFIX", "Column", "Installed", "Plan", "Wanted", "Watched", "about", "channel_of", "digest_of",
    "mark_of", "raw_changes", "read_about", "stem_of", "wanted", "whole_changes",
]  # fmt: skip
