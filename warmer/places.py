"""Where a function stands, and whether two that stand in one place may give different results."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from types import FunctionType
from typing import Any, Final

from warmer.query import Query

#: Of these types, equal is the same; of anything else, only the same object is.
_PLAIN: Final = (str, bytes, int, float, bool)


def place(fn: Callable[..., Any]) -> str:
    """File and line of a function."""
    code = getattr(inspect.unwrap(fn), "__code__", None)
    if code is None:
        return repr(fn)
    file = code.co_filename if code.co_filename.startswith("<") else os.path.realpath(code.co_filename)
    return f"{file}:{code.co_firstlineno}"


def told(fn: Callable[..., Any]) -> str:
    """A function's full name, and where it stands."""
    return f"{fn.__module__}.{getattr(fn, '__qualname__', fn)} ({place(fn)})"


def enclosed_differently(one: Callable[..., Any], other: Callable[..., Any]) -> list[str]:
    """Variables around two functions made by one `def` that hold something else in each.

    What the same factory has made with them, functions and queries, is new each time and no difference.
    """
    one, other = inspect.unwrap(one), inspect.unwrap(other)
    code = getattr(one, "__code__", None)
    if one is other or code is None or getattr(other, "__code__", None) is not code:
        return []
    values, others = _enclosed(one), _enclosed(other)
    return [name for name in values if name in others and not _same(values[name], others[name])]


def _enclosed(fn: Callable[..., Any]) -> dict[str, Any]:
    names, found = fn.__code__.co_freevars, {}
    for name, cell in zip(names, getattr(fn, "__closure__", None) or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return found


def _same(one: Any, other: Any) -> bool:
    # By its type alone: whatever else is asked of somebody's object may run their code.
    kind = type(one)
    if one is other or kind is not type(other):
        return one is other
    if kind is tuple:
        return len(one) == len(other) and all(map(_same, one, other))
    if kind is FunctionType:
        return one.__code__ is other.__code__
    if issubclass(kind, Query):
        return _same(one.fn, other.fn)
    return kind in _PLAIN and bool(one == other)
