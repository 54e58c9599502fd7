"""Names that only entries of strict queries have, and which of them a transaction bars.

Each is the name of rows or of a table (see names.py) behind a `!`, so barring it touches no entry of a query
that is not strict. One more names the query itself, with a digest of what it depends on: it is not in force
until every writer knows of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Final

from warmer.core.changes import Changes, RowShape, row_names
from warmer.core.names import table_name, whole_name
from warmer.core.tokens import escape, unescape

MARK: Final = "!"
#: A transaction that changes more rows than this bars their tables whole: what it bars is done in one script.
MOST_NAMES: Final = 500


def strict_names(listed: Iterable[str], wholes: Iterable[str]) -> tuple[str, ...]:
    """What an entry that stands under these names of rows and tables stands under, being strict."""
    return tuple(MARK + name for name in (*listed, *wholes))


def is_strict_name(name: str) -> bool:
    """Whether only entries of strict queries have the name."""
    return name.startswith(MARK)


def query_in_force(query: str, shapes: Iterable[RowShape]) -> str:
    """The name of a strict query with these dependencies. With others, it has to come into force anew."""
    said = "\n".join(sorted(shape.text() for shape in shapes))
    return f"{MARK}q:{escape(query)}#{blake2b(said.encode(), digest_size=8).hexdigest()}"


def read_name(name: str) -> tuple[str, str]:
    """The query of such a name, and what stands behind its version."""
    query, _, said = name.removeprefix(f"{MARK}q:").rpartition("#")
    return unescape(query), MARK + said[:8]


def names_to_bar(changes: Changes, shapes: Mapping[str, Sequence[RowShape]]) -> tuple[str, ...]:
    """The names that a transaction with these changes bars. shapes: of every strict query, by table.

    Empty where no strict query depends on what was changed.
    """
    names: dict[str, None] = {}
    wholes: dict[str, None] = {}
    for table, images in changes.rows.items():
        concerned = shapes.get(table)
        if not concerned:
            continue
        wholes |= {table_name(table): None, whole_name(table): None}
        names[table_name(table)] = None
        by_columns = [shape for shape in concerned if shape.columns]
        if by_columns:
            found = None if images is None else row_names(table, images, by_columns)
            names |= {whole_name(table): None} if found is None else found
    chosen = names if len(names) <= MOST_NAMES else wholes
    return tuple(MARK + name for name in chosen)


def text_of(shapes: Iterable[RowShape]) -> str:
    """The dependencies of a strict query, as they are registered."""
    return json.dumps(sorted(shape.text() for shape in shapes), separators=(",", ":"))


def read_shapes(text: str) -> tuple[RowShape, ...]:
    """The dependencies in a text. Raises ValueError for what are none."""
    try:
        return tuple(RowShape.read(shape) for shape in json.loads(text))
    except TypeError as exc:
        raise ValueError("not the dependencies of a strict query") from exc
