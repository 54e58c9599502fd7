"""Values as a trigger writes them, which knows SQL and not tokens, and the tokens that they come to.

A raw value is text that opens with its kind. Where the database types its columns, the kind is the family
of the token (see columns.py): `sUA`, `pUA  `, `n3.0`, `f` and the eight bytes of the number in hexadecimal,
`btrue`, `d2026-11-22`, `l...` and `t...` in ISO 8601, `u...`, `x` and hexadecimal. SQLite types values and
not columns, and a date is text there: `I3`, `R0.5`, `H` and text in hexadecimal, `X` and bytes. What these
mean shows only when they meet the families of a query's column. NULL is None; anything else can't be told.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

from warmer.core import columns
from warmer.core.columns import NULL, token_as

#: Longer values are not told: a text of this size is nobody's param.
LONGEST_RAW: Final = 4000
#: So many digits a float keeps of any decimal number: one of no more is what was written.
_DIGITS: Final = 15
_SQLITE: Final = "IRHX"
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII).fullmatch
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?", re.ASCII).fullmatch


def raw_token(raw: object) -> str | None:
    """The token of a raw value; one that is not decided yet opens with a capital. None: it can't be told."""
    if raw is None:
        return NULL
    if not isinstance(raw, str) or not raw:
        return None
    kind, text = raw[0], raw[1:]
    if kind in _SQLITE:
        return f"{kind}~{text}"
    read = _READ.get(kind)
    try:
        return None if read is None else token_as(read(text), kind)
    except (ValueError, InvalidOperation, struct.error):
        return None


def meet(token: str, families: str) -> str | None:
    """`columns.meet`, and the same for what is not decided yet."""
    if token[0] not in _SQLITE:
        return columns.meet(token, families)
    if len(families) != 1:
        return None  # of several, the database may find it equal to any
    kind, _, text = token.partition("~")
    try:
        return _MEETINGS[kind](text, families)
    except (ValueError, InvalidOperation):
        return None


def _integer(text: str, family: str) -> str | None:
    value = int(text)
    if family == "n":
        return token_as(value, "n")
    if family == "f":
        return token_as(float(value), "f") if abs(value) <= 2**53 else None
    return token_as(bool(value), "b") if family == "b" and value in (0, 1) else None


def _real(text: str, family: str) -> str | None:
    value = float(text)
    if family == "f":
        return token_as(value, "f")
    if family != "n":
        return None
    exact = Decimal(repr(value))
    short = exact.is_finite() and len(exact.normalize().as_tuple().digits) <= _DIGITS
    return token_as(exact, "n") if short else None


def _text(text: str, family: str) -> str | None:
    value = bytes.fromhex(text).decode()
    if family in "spu":
        return token_as(value, family)
    if family == "d":
        return token_as(date.fromisoformat(value), "d") if _DAY(value) else None
    if family == "l":
        return token_as(datetime.fromisoformat(value), "l") if _INSTANT(value) else None
    return None  # an instant is stored without its zone


def _bytes(text: str, family: str) -> str | None:
    return token_as(bytes.fromhex(text), "x") if family == "x" else None


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError
    return text == "true"


_READ: Final[Mapping[str, Callable[[str], Any]]] = {
    "s": str,
    "p": str,
    "n": Decimal,
    "f": lambda text: struct.unpack(">d", bytes.fromhex(text))[0],
    "b": _truth,
    "d": date.fromisoformat,
    "l": datetime.fromisoformat,
    "t": datetime.fromisoformat,
    "u": UUID,
    "x": bytes.fromhex,
}
_MEETINGS: Final[Mapping[str, Callable[[str, str], str | None]]] = {
    "I": _integer,
    "R": _real,
    "H": _text,
    "X": _bytes,
}

__all__ = ["LONGEST_RAW", "meet", "raw_token"]
