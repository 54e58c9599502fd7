"""Names of an entry: its owner, its tables and columns, its tags, from its params."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any

from warmer.core.header import PUBLIC_OWNER
from warmer.core.names import entry_name, owner_name, query_name, row_name, table_name, tag_name
from warmer.core.params import ParamType
from warmer.errors import InvalidOption, did_you_mean, show
from warmer.errors.root import hint

Shape = Mapping[str, str]  # column -> param


@dataclass(frozen=True, slots=True)
class Names:
    """An entry's names: those it is listed under, and those that only the fence needs.

    An entry's own name and its query's need no list: its key and the query's index are the list. Nor does a
    table that the entry depends on by columns: whoever names that whole table takes the query's index.
    """

    listed: tuple[str, ...]
    fence_only: tuple[str, ...]

    def all(self) -> tuple[str, ...]:
        """Every name, for the fence."""
        return (*self.fence_only, *self.listed)


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

    def names_of(self, params: Mapping[str, Any], tail: str) -> Names:
        """The names of the entry with these canonical params."""
        listed = [table_name(table) for table in self.tables]
        for table, columns in self.shapes:
            listed.append(
                row_name(table, {column: self._token(params, param) for column, param in columns.items()})
            )
        listed += [tag_name(tag.format_map(_Written(params))) for tag in self.tags]
        if self.scope is not None:
            listed.append(owner_name(self.scope, self._token(params, self.scope)))
        whole = dict.fromkeys(table_name(table) for table, _ in self.shapes)
        fence_only = (entry_name(self.query, tail), query_name(self.query), *whole)
        return Names(tuple(dict.fromkeys(listed)), tuple(fence_only))

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
            name = _table(query, table)
            shape = _shape(query, types, name, columns)
            if shape:
                shapes.append((name, shape))
            else:
                tables.append(name)
    if isinstance(tags, str):
        raise InvalidOption(query, "tags", show(tags), 'a tuple of texts, as in tags=("month:{month}",)')
    for tag in tags:
        _check_tag(query, types, tag)
    return Dependencies(query, types, tuple(tables), tuple(shapes), tuple(tags), scope, depends_on == "auto")


def _table(query: str, table: Any) -> str:
    if isinstance(table, str) and table:
        return table
    name = getattr(table, "__tablename__", None) or getattr(table, "fullname", None)
    if not isinstance(name, str):
        raise InvalidOption(
            query, "depends_on", show(table), "a mapped class, a Table or a table's name as key"
        )
    return name


def _shape(query: str, types: Mapping[str, ParamType], table: str, columns: Any) -> Shape:
    if isinstance(columns, str):
        raise InvalidOption(
            query,
            f"depends_on[{table}]",
            show(columns),
            f"a tuple of params, as in ({columns!r},), or a mapping",
        )
    shape = dict(columns) if isinstance(columns, Mapping) else {column: column for column in columns}
    for param in shape.values():
        _check_param(query, types, f"depends_on[{table}]", param)
    return shape


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
            query, option, show(name), f"made of params of the query. {hint(suggestion, types)}"
        )
