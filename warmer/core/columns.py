"""The text of a column's value in a name: one form for what a row holds and what a param says.

A token opens with the *family* of its value, so that what a database would not find equal never looks equal:
`s~UA` text, `p~UA` text of a padded column, `n~3` an exact number, `f~0.5` a float, `b~true`, `d~2026-11-22`,
`l~...` a datetime without a zone, `t~...` an instant, `u~...` a UUID, `x~...` bytes. NULL is `~` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Final
from uuid import UUID

from warmer.core.params.choices import EnumParam, LiteralParam
from warmer.core.params.contract import Misfit, ParamType
from warmer.core.params.instants import DateParam, DatetimeParam
from warmer.core.params.plain import (
    BoolParam,
    BytesParam,
    DecimalParam,
    FloatParam,
    IntParam,
    NoneParam,
    TextParam,
    UuidParam,
)
from warmer.core.params.unions import OptionalParam, UnionParam

NULL: Final = "~"
#: Longer texts stand as a digest: names are kept in Redis as long as the fence keeps them.
LONGEST: Final = 100

_DATETIME = DatetimeParam(datetime)
_FORMS: Final[Mapping[str, ParamType]] = {
    "s": TextParam(str),
    "p": TextParam(str),
    "n": DecimalParam(Decimal, ints=True),
    "f": FloatParam(float),
    "b": BoolParam(bool),
    "d": DateParam(date),
    "l": _DATETIME,
    "t": _DATETIME,
    "u": UuidParam(UUID),
    "x": BytesParam(bytes),
}
_FAMILIES: Final[tuple[tuple[type[ParamType], str], ...]] = (
    (TextParam, "s"), (IntParam, "n"), (DecimalParam, "n"), (FloatParam, "f"), (BoolParam, "b"),
    (DateParam, "d"), (DatetimeParam, "lt"), (UuidParam, "u"), (BytesParam, "x"),
)  # fmt: skip
_KINDS: Final[tuple[tuple[type, str], ...]] = (
    (bool, "b"), (int, "n"), (float, "f"), (Decimal, "n"), (str, "s"), (date, "d"), (UUID, "u"), (bytes, "x"),
)  # fmt: skip


def token_as(value: object, family: str) -> str | None:
    """The token of a value of one family; None for a value that is not of it, and so can't be compared."""
    if value is None:
        return NULL
    if isinstance(value, datetime) and (value.tzinfo is None) != (family == "l"):
        return None
    if family == "p" and isinstance(value, str):
        value = value.rstrip(" ")
    if family == "u" and isinstance(value, str):
        try:
            value = UUID(value)
        except ValueError:
            return None
    form = _FORMS[family]
    try:
        text = form.encode(form.check(value))
    except Misfit:
        return None
    if len(text) > LONGEST:
        text = "#" + blake2b(text.encode(), digest_size=20).hexdigest()
    return f"{family}~{text}"


def token_of(value: object) -> str | None:
    """The token of a value as it is, for a column whose type is not known; None for what has no token."""
    if value is None:
        return NULL
    if isinstance(value, datetime):
        return token_as(value, "l" if value.tzinfo is None else "t")
    family = next((family for kind, family in _KINDS if isinstance(value, kind)), None)
    return None if family is None else token_as(value, family)


def meet(token: str, families: str) -> str | None:
    """A row's token as entries with a column of these families are named; None: they can't be compared.

    A writer that does not know the column's type writes the value as it is: text for what is padded here, an
    exact number for what is a float here.
    """
    if token == NULL or token[0] in families:
        return token
    family, _, text = token.partition("~")
    if text.startswith("#"):
        return None
    value = _FORMS[family].read(text)
    for wanted in families:
        if (family, wanted) in (("s", "p"), ("s", "u"), ("p", "u"), ("n", "f")):
            if wanted == "f" and isinstance(value, Decimal):
                return _exact_float(value)
            return token_as(value, wanted)
    return None


def families_of(kind: ParamType) -> str:
    """The families that a param's values are of, without that of None; "" where they can't be compared."""
    if isinstance(kind, OptionalParam):
        return families_of(kind.inner)
    if isinstance(kind, LiteralParam):
        return families_of(kind.plain)
    if isinstance(kind, UnionParam):
        each = [families_of(alternative) for alternative in kind.alternatives]
        return "".join(dict.fromkeys("".join(each))) if all(each) else ""
    if isinstance(kind, EnumParam):
        return kind.column_families
    return next((family for of, family in _FAMILIES if isinstance(kind, of)), "")


def may_be_none(kind: ParamType) -> bool:
    """Whether None is among a param's values."""
    if isinstance(kind, UnionParam):
        return kind.accepts_none
    return isinstance(kind, OptionalParam | NoneParam)


def _exact_float(value: Decimal) -> str | None:
    try:
        nearest = float(value)
    except OverflowError:
        return None
    return token_as(nearest, "f") if Decimal(nearest) == value else None


__all__ = ["LONGEST", "NULL", "families_of", "may_be_none", "meet", "token_as", "token_of"]
