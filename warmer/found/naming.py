"""Names of what a load has read, for `depends_on="auto"`.

A row's name is what the same columns would give if they had been declared, so writers need to know nothing
new, only that some query depends on these columns. They learn it where shapes are registered. Until a shape
is known there, a value that depends on rows of it stands under the whole table: a writer that had not heard
of the shape would name the table and not the row.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from warmer.core.names import table_name
from warmer.core.params import Misfit, ParamType
from warmer.dependencies import Dependencies, read_dependencies
from warmer.errors import InvalidOption, ServerError
from warmer.found.reads import Read, Reads

log = logging.getLogger("warmer")

#: Shapes that are found for one query; what its loads read beyond is named by whole tables.
MOST_SHAPES: Final = 16

Announce = Callable[[Dependencies], bool]


class Naming:
    """The names that loads of one process have found.

    announce: tells writers of a dependency that was found; whether they know it when it returns. It may raise
    ServerError.
    """

    def __init__(self, announce: Announce) -> None:
        self._announce = announce
        self._lock = threading.Lock()
        #: By query: shapes that writers know, and since when (monotonic).
        self._known: dict[str, dict[tuple[Any, ...], tuple[Dependencies, float]]] = {}
        self._told: set[str] = set()

    def names(
        self, of: Dependencies, params: Mapping[str, Any], tail: str, reads: Reads, began: float
    ) -> frozenset[str]:
        """The names of what a load has read. began: when it started, on the monotonic clock."""
        if reads.unknown and of.auto:
            self._tell_unknown(of.query, reads.unknown[0])
        names: set[str] = set()
        for read in reads.all():
            shape = matched(of.types, params, read)
            rows = self._row_names(of, read, shape, params, tail, began) if shape else None
            names |= {table_name(read.name)} if rows is None else rows
        return frozenset(names)

    def _row_names(
        self,
        of: Dependencies,
        read: Read,
        shape: Mapping[str, str],
        params: Mapping[str, Any],
        tail: str,
        began: float,
    ) -> set[str] | None:
        """The row's name, and the one for who can't tell rows; None: not to be told by rows, or not yet."""
        at = (read.name, *sorted(shape.items()))
        with self._lock:
            shapes = self._known.setdefault(of.query, {})
            known = shapes.get(at)
            full = known is None and len(shapes) >= MOST_SHAPES
        if full:
            return None
        if known is None:
            self._learn(of, read, shape, at)
            return None
        dependencies, since = known
        if not since < began:
            return None
        found = dependencies.names_of(params, tail)
        return {*found.listed, *found.fence_only[2:]}

    def _learn(self, of: Dependencies, read: Read, shape: Mapping[str, str], at: tuple[Any, ...]) -> None:
        """Have writers told, so that the next load can be told by rows."""
        try:
            found = read_dependencies(of.query, of.types, {read.table: dict(shape)}, (), None)
        except InvalidOption as unfit:
            log.debug("%s is not told by rows: %s", of.query, unfit)
            return
        try:
            announced = self._announce(found)
        except ServerError as exc:
            log.debug("writers could not be told what %s depends on: %s", of.query, exc)
            return
        if announced:
            with self._lock:
                self._known[of.query][at] = (found, time.monotonic())

    def _tell_unknown(self, query: str, statement: str) -> None:
        with self._lock:
            told = query in self._told
            self._told.add(query)
        if not told:
            log.warning(
                '%s has depends_on="auto" and runs SQL text, of which nobody can tell what it reads: that is '
                "not among its dependencies. Write it with select(), or declare its tables. %s",
                query, statement,
            )  # fmt: skip


def matched(types: Mapping[str, ParamType], params: Mapping[str, Any], read: Read) -> dict[str, str]:
    """The columns of a read that equal one of an entry's params, each with the param's name."""
    shape: dict[str, str] = {}
    for column, value in read.equal:
        same = [name for name in params if _equals(types[name], params[name], value)]
        if same:
            shape[column] = column if column in same else same[0]
    return shape


def _equals(kind: ParamType, param: Any, value: Any) -> bool:
    if param is None:
        return False
    try:
        return kind.encode(kind.check(value)) == kind.encode(param)
    except Misfit:
        return False
