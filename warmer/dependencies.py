"""Names of an entry: its owner, its tables and columns, its tags, from its params."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from string import Formatter
from typing import Any

from warmer.core.changes import RowShape
from warmer.core.columns import NULL, families_of, token_as, token_of
from warmer.core.names import (
    entry_name,
    owner_name,
    query_name,
    row_name,
    table_name,
    tag_name,
    whole_name,
)
from warmer.core.params import ParamType
from warmer.core.payload import PUBLIC_OWNER
from warmer.core.strictness import query_in_force, strict_names
from warmer.errors import InvalidOption, did_you_mean, show
from warmer.errors.root import hint


@dataclass(frozen=True, slots=True)
class nullable:  # noqa: N801 - it reads as the function that it is used as
    """In `depends_on`: None for this param means the rows whose column is NULL, and not every row.

    depends_on={Flight: {"tailnum": nullable("tailnum")}}
    """

    param: str


@dataclass(frozen=True, slots=True)
class Match:
    """A column that equals a param. token: of a param's value; None where it can't be compared."""

    param: str
    families: str
    token: Callable[[Any], str | None]
    nullable: bool = False

    def of(self, params: Mapping[str, Any]) -> str | None:
        """The token of the rows that an entry depends on; None: of any."""
        value = params[self.param]
        if value is None:
            return NULL if self.nullable else None
        return self.token(value)


Shape = Mapping[str, Match]  # by column


@dataclass(frozen=True, slots=True)
class Names:
    """An entry's names: those it is listed under, and those that only the fence needs.

    An entry's own name and its query's need no list: its key and the query's index are the list. Nor does a
    whole table that the entry depends on by columns: whoever names that takes the query's index.
    """

    listed: tuple[str, ...]
    fence_only: tuple[str, ...]
    wholes: tuple[str, ...] = ()

    def all(self) -> tuple[str, ...]:
        """Every name, for the fence."""
        return (*self.fence_only, *self.listed)

    def handed_on(self) -> tuple[str, ...]:
        """What an outer value that was made of this one stands under, too: it is in another query's index."""
        return (*self.listed, *self.wholes)


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What the entries of one query depend on, checked where the query is declared."""

    query: str
    types: Mapping[str, ParamType]
    tables: tuple[str, ...]
    shapes: tuple[tuple[str, Shape], ...]
    tags: tuple[str, ...]
    scope: str | None
    #: What its loads read is found as they run (`depends_on="auto"`).
    auto: bool = False
    #: `consistency="strict"`: the name by which it comes into force; "" where it is not.
    strict: str = ""

    def names_of(self, params: Mapping[str, Any], tail: str) -> Names:
        """The names of the entry with these canonical params."""
        listed = [table_name(table) for table in self.tables]
        for table, columns in self.shapes:
            tokens = {column: match.of(params) for column, match in columns.items()}
            known = {column: token for column, token in tokens.items() if token is not None}
            listed.append(row_name(table, known) if len(known) == len(tokens) else table_name(table))
        wholes = tuple(dict.fromkeys(whole_name(table) for table, _ in self.shapes))
        barred = strict_names(listed, wholes) if self.strict else ()
        listed += [tag_name(tag.format_map(_Written(params))) for tag in self.tags]
        if self.scope is not None:
            listed.append(owner_name(self.scope, self._token(params, self.scope)))
        wholes = (*wholes, self.strict) if self.strict else wholes
        fence_only = (entry_name(self.query, tail), query_name(self.query), *wholes)
        return Names(tuple(dict.fromkeys((*listed, *barred))), fence_only, wholes)

    def row_shapes(self) -> tuple[RowShape, ...]:
        """What every writer must know of the query, as it is registered in Redis."""
        return tuple(
            RowShape(self.query, table, tuple((name, columns[name].families) for name in sorted(columns)))
            for table, columns in self.shapes
        )

    def strict_shapes(self) -> tuple[RowShape, ...]:
        """What every writer must know of it if it is strict: whole tables, too, as shapes without columns."""
        return (*self.row_shapes(), *(RowShape(self.query, table, ()) for table in self.tables))

    def as_strict(self) -> Dependencies:
        """The same of a strict query."""
        return replace(self, strict=query_in_force(self.query, self.strict_shapes()))

    def owner_of(self, params: Mapping[str, Any]) -> bytes:
        """8 bytes: the owner's digest; zeros when the query is public."""
        if self.scope is None:
            return PUBLIC_OWNER
        text = owner_name(self.scope, self._token(params, self.scope))
        return hashlib.blake2b(text.encode(), digest_size=8).digest()

    def _token(self, params: Mapping[str, Any], name: str) -> str:
        return self.types[name].encode(params[name])


class _Written(dict[str, Any]):
    """Params as a tag shows them: an Enum by its name, the rest as text."""

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        return value.name if isinstance(value, enum.Enum) else value


def read_dependencies(
    query: str,
    types: Mapping[str, ParamType],
    depends_on: Mapping[Any, Any] | str,
    tags: Collection[str],
    scope: str | None,
) -> Dependencies:
    """Check `depends_on` and `tags` of a query. Raises InvalidOption naming what is not a param."""
    tables: list[str] = []
    shapes: list[tuple[str, Shape]] = []
    if depends_on != "auto":
        if not isinstance(depends_on, Mapping):
            raise InvalidOption(query, "depends_on", show(depends_on), 'a mapping {Table: columns} or "auto"')
        for table, columns in depends_on.items():
            for name, shape in _tables(query, types, table, columns):
                if shape:
                    shapes.append((name, shape))
                else:
                    tables.append(name)
    if isinstance(tags, str):
        raise InvalidOption(query, "tags", show(tags), 'a tuple of texts, as in tags=("month:{month}",)')
    for tag in tags:
        _check_tag(query, types, tag)
    return Dependencies(query, types, tuple(tables), tuple(shapes), tuple(tags), scope, depends_on == "auto")


def _tables(query: str, types: Mapping[str, ParamType], table: Any, columns: Any) -> list[tuple[str, Shape]]:
    """The tables of one item of `depends_on`: more than one for a class that is mapped to several."""
    if isinstance(table, str) and table:
        return [(table, _shape(query, types, table, columns, _match_by_param))]
    if not hasattr(table, "__table__") and not isinstance(getattr(table, "fullname", None), str):
        raise InvalidOption(
            query, "depends_on", show(table), "a mapped class, a Table or a table's name as key"
        )
    # SQLAlchemy is there: the table is one of its own.
    from warmer.capture.tables import shapes_of

    return shapes_of(query, types, table, columns, _shape)


def _shape(
    query: str,
    types: Mapping[str, ParamType],
    table: str,
    columns: Any,
    match: Callable[[str, str, ParamType], Match],
) -> Shape:
    """match: makes a match of where it is said, the param's name and its type. Raises InvalidOption."""
    if isinstance(columns, str):
        raise InvalidOption(
            query,
            f"depends_on[{table}]",
            show(columns),
            f"a tuple of params, as in ({columns!r},), or a mapping",
        )
    said = dict(columns) if isinstance(columns, Mapping) else {column: column for column in columns}
    shape: dict[str, Match] = {}
    for column, param in said.items():
        where = f"depends_on[{table}]"
        name = param.param if isinstance(param, nullable) else param
        _check_param(query, types, where, name)
        try:
            found = match(column, name, types[name])
        except ValueError as exc:
            raise InvalidOption(
                query, f"{where}[{column}]", f"param {name}: {types[name].name}", str(exc)
            ) from None
        shape[column] = replace(found, nullable=isinstance(param, nullable))
    return shape


def _match_by_param(_: str, param: str, kind: ParamType) -> Match:
    """The match of a column of whose table only the name is known: as the param's own values are."""
    families = families_of(kind)
    if not families:
        raise ValueError(
            "a param that a column's value can equal; or give the table itself, or {Table: ()} for any row"
        )
    return Match(param, families, lambda value: _token_among(value, families))


def _token_among(value: Any, families: str) -> str | None:
    natural = token_of(value)
    if natural is not None and natural[0] in families:
        return natural
    tokens = [token_as(value, family) for family in families]
    return next((token for token in tokens if token is not None), None)


def _check_tag(query: str, types: Mapping[str, ParamType], tag: Any) -> None:
    if not isinstance(tag, str) or not tag:
        raise InvalidOption(query, "tags", show(tag), "texts that are not empty")
    try:
        fields = [name for _, name, _, _ in Formatter().parse(tag) if name is not None]
    except ValueError as exc:
        raise InvalidOption(query, "tags", show(tag), f"texts with {{param}} in them ({exc})") from exc
    for name in fields:
        _check_param(query, types, "tags", name)


def _check_param(query: str, types: Mapping[str, ParamType], option: str, name: Any) -> None:
    if name not in types:
        suggestion = did_you_mean(str(name), types)
        raise InvalidOption(
            query, option, show(name), f"made of params of the query ({hint(suggestion, types).rstrip('.')})"
        )
