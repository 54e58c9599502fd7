"""The checks of what has no annotated parts: leaves, literals, models, plain values; and what a misfit says.

Each takes a column of values that stand at one place (see warmer.core.fitting) and the name of the place.
Messages show types and never values, which may be private.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import time, timedelta
from itertools import chain
from typing import Any, TypeAlias
from uuid import UUID

from warmer.core import models

#: Checks a column of values; the text names their place. Raises Misfit.
Fit: TypeAlias = Callable[[Sequence[Any], str], None]

_PLAIN = frozenset({type(None), bool, int, float, str, bytes, list, dict})
_PLAIN_KEYS = frozenset({str, int})
_PLAIN_SAYS = "a plain value (None, bool, int, float, str, bytes, list or dict), as Any stands for these only"


class Misfit(Exception):
    """A value is not what its annotation says; the text says where and how."""


def require(values: Sequence[Any], kind: type, place: str) -> None:
    """Raises Misfit unless every value is exactly of this kind."""
    if set(map(type, values)) != {kind}:
        raise misfit(values, {kind}, name_of(kind), place)


def fit_exact(kind: type) -> Fit:
    """The check of a leaf whose values are exactly of one class."""
    if kind is UUID:
        return _fit_uuid

    def fit(values: Sequence[Any], place: str) -> None:
        require(values, kind, place)

    return fit


def _fit_uuid(values: Sequence[Any], place: str) -> None:
    if not all(issubclass(kind, UUID) for kind in set(map(type, values))):
        raise misfit([value for value in values if not isinstance(value, UUID)], {UUID}, "UUID", place)


def fit_float(values: Sequence[Any], place: str) -> None:
    """Floats, and ints that floats hold exactly (SUM() of nothing is the int 0)."""
    kinds = set(map(type, values))
    if not kinds <= {float, int}:
        raise misfit(values, {float, int}, "float", place)
    if int in kinds and any(abs(value) > 2**53 for value in values if type(value) is int):
        raise Misfit(f"{place} should be float, got an int over 2**53, which a float would change")


def fit_time(values: Sequence[Any], place: str) -> None:
    """Times, without a zone or with one whose offset MessagePack's text can say."""
    require(values, time, place)
    for value in values:
        if value.tzinfo is not None and (
            value.utcoffset() is None or value.utcoffset() % timedelta(minutes=1)
        ):
            raise Misfit(f"{place} has a zone without an offset of whole minutes, which would be lost")


def fit_literal(allowed: Collection[Any]) -> Fit:
    """The check of a Literal: exactly one of these values, so not True for 1."""
    known, kinds = frozenset(allowed), frozenset(map(type, allowed))

    def fit(values: Sequence[Any], place: str) -> None:
        if not set(map(type, values)) <= kinds:
            raise misfit(values, kinds, "a value of its Literal", place)
        if not known.issuperset(values):
            raise Misfit(
                f"{place} should be a value of its Literal, got another {listed(map(name_of, kinds))}"
            )

    return fit


def fit_model(kind: type) -> Fit:
    """The check of a pydantic model: of this class, and equal after a journey through its own JSON."""

    def fit(values: Sequence[Any], place: str) -> None:
        require(values, kind, place)
        if not all(map(models.survives, values)):
            raise Misfit(
                f"{place}: {name_of(kind)} does not come back equal from its own JSON (see its serializers)"
            )

    return fit


def fit_plain(values: Sequence[Any], place: str) -> None:
    """What Any stands for: JSON-like values, which decode alike without an annotation."""
    while values:
        if not set(map(type, values)) <= _PLAIN:
            raise misfit(values, _PLAIN, _PLAIN_SAYS, place)
        dicts = [value for value in values if type(value) is dict]
        keys = list(chain.from_iterable(dicts))
        if not set(map(type, keys)) <= _PLAIN_KEYS:
            raise misfit(keys, _PLAIN_KEYS, "str or int", f"a key in {place}")
        lists = [value for value in values if type(value) is list]
        values = [*chain.from_iterable(lists), *chain.from_iterable(map(dict.values, dicts))]


def misfit(values: Sequence[Any], kinds: Collection[type], expected: str, place: str) -> Misfit:
    """Says what was found instead of what was expected, how often, and what usually helps."""
    wrong = [type(value) for value in values if type(value) not in kinds]
    found = wrong[0]
    often = f" in {len(wrong):,} of {len(values):,}" if len(values) > 1 else ""
    return Misfit(f"{place} should be {expected}, got {name_of(found)}{often}{_help(found, expected)}")


def _help(found: type, expected: str) -> str:
    if found is type(None):
        return f" (annotate `{expected} | None` if it may be absent)"
    if hasattr(found, "__mapper__"):
        return " (an ORM entity, tied to its session: copy its columns)"
    if found.__module__.startswith("sqlalchemy."):
        return " (it belongs to its connection: DelayRow(**row._mapping), tuple(row) or dict(row._mapping))"
    if hasattr(found, "__await__"):
        return " (await it)"
    if hasattr(found, "__next__"):
        return " (it can be consumed only once: return a list of it)"
    return ""


def name_of(kind: type) -> str:
    """A class as a message shows it."""
    return "None" if kind is type(None) else kind.__name__


def listed(names: Iterable[Any]) -> str:
    """Names in an order that does not depend on hashes."""
    return ", ".join(sorted(map(str, names)))
