"""Names: what an invalidation can hit. The fence stamps names; member lists hang under them.

A name never carries a query's version: an old process and a new one invalidate each other's entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b

from warmer.core.tokens import escape

#: A longer name of rows ends in a digest: a table may have many columns.
_LONGEST = 250


def entry_name(query: str, tail: str) -> str:
    """The name of one entry; `tail` is what follows the version in its member (tokens, or their digest)."""
    return f"e:{query}:{tail}"


def query_name(query: str) -> str:
    """The name of every entry of a query."""
    return f"q:{query}"


def owner_name(scope: str, token: str) -> str:
    """The name of every entry private to one identity; `token` is the canonical text of the scope's param."""
    return f"o:{scope}:{token}"


def table_name(table: str) -> str:
    """The name of every entry that depends on any row of a table."""
    return f"t:{escape(table)}"


def whole_name(table: str) -> str:
    """The name of every entry that depends on some row of a table: hit where nobody knows which rows changed.

    Only the fence needs it: the index of each query that depends on the table by columns is the list.
    """
    return f"a:{escape(table)}"


def row_name(table: str, values: Mapping[str, str]) -> str:
    """The name of the entries that depend on rows whose columns equal these tokens (see columns.py).

    Table and columns are escaped, and no token holds `,`, `=` or `:`, so no name imitates another.
    """
    said = ",".join(f"{escape(column)}={values[column]}" for column in sorted(values))
    name = f"c:{escape(table)}:{said}"
    if len(name) <= _LONGEST:
        return name
    return f"c:{escape(table)}:#{blake2b(said.encode(), digest_size=20).hexdigest()}"


def tag_name(tag: str) -> str:
    """The name of every entry under a tag."""
    return f"g:{tag}"


def tag_names(tags: Iterable[str]) -> list[str]:
    """`tag_name` of each, without repeats, in a fixed order."""
    return [tag_name(tag) for tag in sorted(set(tags))]


def is_tag(name: str) -> bool:
    """Whether a name is a tag's."""
    return name.startswith("g:")


def is_owner(name: str) -> bool:
    """Whether a name is an identity's."""
    return name.startswith("o:")


def tag_of(name: str) -> str:
    """The tag of a tag's name."""
    return name[2:]
