"""What a transaction changed, as its outbox row says it, and the names that this comes to.

Rows are told as *images*: the tokens of the columns that somebody's dependencies use, before and after. A
table without images is named whole. Names are computed when changes are applied, by every shape that any
process has registered, so an older process applies what a newer one's queries depend on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from warmer.core.names import query_name, row_name, table_name, whole_name
from warmer.core.raws import meet, raw_token

#: Rows of a table that differ in what is told of them; of more, the whole table is named.
MOST_IMAGES: Final = 1000
_FORMAT: Final = 1
#: What triggers write (see `_raw_images`); a release that can't read it leaves the row to one that can.
RAW_FORMAT: Final = 2

Image = frozenset[tuple[str, str]]  # (column, token)


@dataclass(frozen=True, slots=True)
class RowShape:
    """One query's dependency on rows of a table: its columns, each with the families of its tokens."""

    query: str
    table: str
    columns: tuple[tuple[str, str], ...]

    def text(self) -> str:
        """As it is registered."""
        plain = [self.query, self.table, [list(pair) for pair in self.columns]]
        return json.dumps(plain, separators=(",", ":"))

    @classmethod
    def read(cls, text: str) -> RowShape:
        """The shape of a text. Raises ValueError for what is none."""
        try:
            query, table, columns = json.loads(text)
            return cls(str(query), str(table), tuple((str(column), str(f)) for column, f in columns))
        except (TypeError, KeyError) as exc:
            raise ValueError("not a dependency shape") from exc


@dataclass(frozen=True, slots=True)
class EntryHit:
    """One entry, as an invalidation by its params names it."""

    shard: int
    name: str
    query: str
    tail: str
    version: str


@dataclass(frozen=True, slots=True)
class PartHit:
    """Every entry of a query with these tokens at these places of its params."""

    query: str
    version: str
    params: int
    tokens: tuple[tuple[int, str], ...]

    def wants(self, tokens: str) -> bool:
        """Whether an entry of this version with these tokens is meant; what can't be told apart is."""
        given = tokens.split(",")
        return len(given) != self.params or all(given[place] == token for place, token in self.tokens)


@dataclass(frozen=True, slots=True)
class Hits:
    """What changes come to. names: to stamp, and to remove the members of. queries: to remove whole."""

    names: tuple[str, ...]
    queries: tuple[str, ...]


@dataclass(slots=True)
class Changes:
    """What has been changed, merged. rows: images by table, None for a whole table."""

    rows: dict[str, set[Image] | None] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    entries: set[EntryHit] = field(default_factory=set)
    queries: set[str] = field(default_factory=set)
    parts: set[PartHit] = field(default_factory=set)

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return any((self.rows, self.names, self.entries, self.queries, self.parts))

    def add_rows(self, table: str, images: Iterable[Image] | None) -> None:
        """Rows of a table that looked like this before or after; None: nobody knows which."""
        known = self.rows.get(table, set())
        if images is None or known is None:
            self.rows[table] = None
            return
        known.update(images)
        self.rows[table] = known if len(known) <= MOST_IMAGES else None

    def merge(self, other: Changes) -> None:
        """Add what another holds."""
        for table, images in other.rows.items():
            self.add_rows(table, images)
        self.names |= other.names
        self.entries |= other.entries
        self.queries |= other.queries
        self.parts |= other.parts

    def text(self) -> str:
        """As an outbox row holds it."""
        plain: dict[str, Any] = {"v": _FORMAT}
        if self.rows:
            plain["rows"] = {table: _plain_images(images) for table, images in self.rows.items()}
        if self.names:
            plain["names"] = sorted(self.names)
        if self.queries:
            plain["queries"] = sorted(self.queries)
        if self.entries:
            plain["entries"] = [[e.shard, e.name, e.query, e.tail, e.version] for e in self.entries]
        if self.parts:
            plain["parts"] = [[p.query, p.version, p.params, [list(t) for t in p.tokens]] for p in self.parts]
        return json.dumps(plain, separators=(",", ":"))

    @classmethod
    def read(cls, text: str) -> Changes:
        """The changes of an outbox row. Raises ValueError for what is none."""
        try:
            plain = json.loads(text)
            if plain["v"] not in (_FORMAT, RAW_FORMAT):
                raise ValueError(f"changes of format {plain['v']}, this release reads up to {RAW_FORMAT}")
            rows: dict[str, set[Image] | None] = {
                table: None if images is None else {frozenset(image.items()) for image in images}
                for table, images in plain.get("rows", {}).items()
            }
            parts = {
                PartHit(query, version, count, tuple((place, token) for place, token in tokens))
                for query, version, count, tokens in plain.get("parts", ())
            }
            entries = {EntryHit(*entry) for entry in plain.get("entries", ())}
            found = cls(rows, set(plain.get("names", ())), entries, set(plain.get("queries", ())), parts)
            for raw in plain.get("raw", ()):
                for table in raw["tables"]:
                    found.add_rows(table, _raw_images(raw["columns"], raw["rows"]))
            return found
        except (TypeError, KeyError, AttributeError) as exc:
            raise ValueError("not the changes of an outbox row") from exc


def hits_of(changes: Changes, shapes: Mapping[str, Iterable[RowShape]]) -> Hits:
    """The names and queries that changes come to. shapes: by table, of every process."""
    names = dict.fromkeys(sorted(changes.names))
    queries = dict.fromkeys(sorted(changes.queries | {part.query for part in changes.parts}))
    removed = dict.fromkeys(sorted(changes.queries))
    for table, images in changes.rows.items():
        names[table_name(table)] = None
        found = None if images is None else row_names(table, images, shapes.get(table, ()))
        if found is None:
            names[whole_name(table)] = None
            removed.update(dict.fromkeys(shape.query for shape in shapes.get(table, ())))
        else:
            names.update(found)
    names.update(dict.fromkeys(query_name(query) for query in queries))
    return Hits(tuple(names), tuple(removed))


def row_names(table: str, images: Iterable[Image], shapes: Iterable[RowShape]) -> dict[str, None] | None:
    """The names of the rows; None if an image lacks what a shape needs, or can't be compared with it."""
    names: dict[str, None] = {}
    told = [dict(image) for image in images]
    for columns in {shape.columns for shape in shapes}:
        for image in told:
            values: dict[str, str] = {}
            for column, families in columns:
                token = image.get(column)
                met = None if token is None else meet(token, families)
                if met is None:
                    return None
                values[column] = met
            names[row_name(table, values)] = None
    return names


def _raw_images(columns: list[str], rows: list[list[Any]]) -> Iterable[Image]:
    """The rows that a trigger wrote: of each, the raw values of these columns."""
    for row in rows:
        told = ((column, raw_token(raw)) for column, raw in zip(columns, row, strict=True))
        yield frozenset((column, token) for column, token in told if token is not None)


def _plain_images(images: set[Image] | None) -> list[dict[str, str]] | None:
    return None if images is None else [dict(image) for image in images]
