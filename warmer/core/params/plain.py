"""Params that are one plain value: text, bytes, numbers, truth, None, UUID.

A subclass (a StrEnum for str, an IntEnum for int, NumPy's float64 for float) counts as the plain value that
it equals. A value of another type never does, but for one case that every type checker allows: an int may
stand for a float.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from warmer.core.params.contract import Misfit, ParamType
from warmer.core.tokens import escape, escape_bytes, unescape, unescape_bytes

#: Longer ints are written in hexadecimal: Python refuses to write them in decimal from some length on
#: (sys.set_int_max_str_digits: 640 digits at least). 1024 bits are 309 digits: such a key is digested anyway.
HEX_BITS = 1024

#: Trailing zeros that a Decimal is written out with, so that Decimal(100) stays 100 and does not become 1E+2.
PLAIN_ZEROS = 30

#: Exponents of a Decimal that is canonical if its last digit is not 0.
_NO_ZEROS = frozenset(range(-PLAIN_ZEROS, 1))


class TextParam(ParamType):
    """`str`: any text, lone surrogates and NULs too. Nothing is normalised: look-alikes are different."""

    __slots__ = ()
    name = "str"
    simple = "str"
    family = "text"

    def check(self, value: object) -> str:
        """The text itself, as an exact str."""
        if isinstance(value, str):
            return str.__str__(value)
        raise Misfit(value, self.name)

    def encode(self, canonical: Any) -> str:
        """The text, escaped."""
        return escape(canonical)

    def read(self, token: str) -> str:
        """The text, unescaped."""
        return unescape(token)

    def from_text(self, text: str) -> str:
        """The text as it is."""
        return text


class BytesParam(ParamType):
    """`bytes`: any; not bytearray or memoryview, which may change after the call."""

    __slots__ = ()
    name = "bytes"

    def check(self, value: object) -> bytes:
        """The bytes themselves, as exact bytes."""
        if type(value) is bytes:
            return value
        if isinstance(value, bytes):
            return bytes(memoryview(value))
        raise Misfit(value, self.name)

    def encode(self, canonical: Any) -> str:
        """The bytes, escaped."""
        return escape_bytes(canonical)

    def read(self, token: str) -> bytes:
        """The bytes, unescaped."""
        return unescape_bytes(token)

    def from_text(self, text: str) -> bytes:
        """The text in UTF-8; bytes that a shell could not decode come back as they were."""
        return text.encode("utf-8", "surrogateescape")


class IntParam(ParamType):
    """`int`: any size; never a bool, a float or a text."""

    __slots__ = ()
    name = "int"
    simple = "int"
    family = "number"

    def check(self, value: object) -> int:
        """The int itself, as an exact int."""
        if isinstance(value, int) and not isinstance(value, bool):
            return int.__int__(value)
        raise Misfit(value, self.name)

    def encode(self, canonical: Any) -> str:
        """Decimal digits, or `x` and hexadecimal ones where it is huge."""
        if canonical.bit_length() < HEX_BITS:
            return str(canonical)
        return f"{'-' if canonical < 0 else ''}x{abs(canonical):x}"

    def read(self, token: str) -> int:
        """The int."""
        sign, huge, digits = token.partition("x")
        return int(sign + digits, 16) if huge else int(token)


class BoolParam(ParamType):
    """`bool`: never 0 or 1."""

    __slots__ = ()
    name = "bool"
    simple = "bool"

    def check(self, value: object) -> bool:
        """The bool itself."""
        if isinstance(value, bool):
            return value
        raise Misfit(value, self.name)

    def encode(self, canonical: Any) -> str:
        """`true` or `false`."""
        return "true" if canonical else "false"

    def read(self, token: str) -> bool:
        """The bool."""
        if token not in ("true", "false"):
            raise ValueError("neither true nor false")
        return token == "true"

    def from_text(self, text: str) -> object:
        """`true` or `false`, in any case."""
        return super().from_text(text.lower())


class FloatParam(ParamType):
    """`float`: any but NaN, which equals nothing; -0.0 is 0.0; an int that fits exactly is one."""

    __slots__ = ()
    name = "float"
    simple = "float"
    family = "number"

    def check(self, value: object) -> float:
        """The float itself, as an exact float."""
        if isinstance(value, float):
            exact = float.__float__(value)
            if exact != exact:
                raise Misfit(value, "a float that equals itself")
            return exact or 0.0
        if isinstance(value, int) and not isinstance(value, bool):
            return self._from_int(int.__int__(value))
        raise Misfit(value, self.name)

    @staticmethod
    def _from_int(value: int) -> float:
        try:
            exact = float(value)
        except OverflowError:
            raise Misfit(value, "an int that a float can hold") from None
        if exact != value:
            raise Misfit(value, "an int that a float can hold exactly")
        return exact

    def encode(self, canonical: Any) -> str:
        """The shortest text that reads back as the same float."""
        return repr(canonical).replace("+", "")

    def read(self, token: str) -> float:
        """The float."""
        return float(token)


class DecimalParam(ParamType):
    """`Decimal`: any but NaN; `1.0`, `1.00` and `1E0` are one value, and so are 0 and -0.

    With `ints` (in `int | Decimal`) an int is the Decimal that it equals.
    """

    __slots__ = ("_ints",)
    name = "Decimal"
    family = "number"

    def __init__(self, annotation: object, *, ints: bool = False) -> None:
        super().__init__(annotation)
        self._ints = ints

    def check(self, value: object) -> Decimal:
        """The value without superfluous zeros; never rounded, whatever the decimal context says."""
        if self._ints and isinstance(value, int) and not isinstance(value, bool):
            value = Decimal(int.__int__(value))
        if not isinstance(value, Decimal):
            raise Misfit(value, self.name)
        sign, digits, exponent = value.as_tuple()
        if type(value) is Decimal and digits[-1:] > (0,) and exponent in _NO_ZEROS:
            return value
        if exponent == "F":
            return Decimal("-Infinity" if sign else "Infinity")
        if not isinstance(exponent, int):
            raise Misfit(value, "a Decimal that equals itself")
        figures = "".join(map(str, digits))
        kept = figures.rstrip("0")
        if not kept:
            return Decimal(0)
        exponent += len(figures) - len(kept)
        if 0 < exponent <= PLAIN_ZEROS:
            kept, exponent = kept + "0" * exponent, 0
        return Decimal((sign, tuple(map(int, kept)), exponent))

    def encode(self, canonical: Any) -> str:
        """Plain digits, with a point where that is short; else `<digits>e<exponent>`."""
        sign, digits, exponent = canonical.as_tuple()
        minus = "-" if sign else ""
        if not isinstance(exponent, int):
            return f"{minus}inf"
        figures = "".join(map(str, digits))
        if -PLAIN_ZEROS <= exponent < 0:
            figures = figures.rjust(1 - exponent, "0")
            return f"{minus}{figures[:exponent]}.{figures[exponent:]}"
        return f"{minus}{figures}e{exponent}" if exponent else f"{minus}{figures}"

    def read(self, token: str) -> Decimal:
        """The Decimal."""
        return Decimal(token)


class NoneParam(ParamType):
    """`None`."""

    __slots__ = ()
    name = "None"

    def check(self, value: object) -> None:
        """None itself."""
        if value is not None:
            raise Misfit(value, self.name)

    def encode(self, canonical: Any) -> str:
        """`~`, which no other value's token is."""
        return "~"

    def read(self, token: str) -> None:
        """None."""


class UuidParam(ParamType):
    """`UUID`: never its text."""

    __slots__ = ()
    name = "UUID"

    def check(self, value: object) -> UUID:
        """The UUID itself, as an exact UUID."""
        if type(value) is UUID:
            return value
        if isinstance(value, UUID):
            return UUID(int=value.int)
        raise Misfit(value, self.name)

    def encode(self, canonical: Any) -> str:
        """Its usual text, in lower case with hyphens."""
        return str(canonical)

    def read(self, token: str) -> UUID:
        """The UUID."""
        return UUID(token)
