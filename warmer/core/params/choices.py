"""Params that are one of a few values: members of an Enum, and Literals."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from enum import Enum, Flag
from typing import Any
from uuid import UUID

from warmer.core.params.contract import Misfit, ParamType
from warmer.core.tokens import escape, unescape
from warmer.errors import show

# What an Enum's members equal besides themselves, by the type that is mixed in.
_MIXED: tuple[tuple[type, str], ...] = (
    (str, "text"), (int, "number"), (float, "number"), (Decimal, "number"), (bytes, "bytes"),
    (datetime, "datetime"), (date, "date"), (UUID, "UUID"), (tuple, "tuple"),
)  # fmt: skip


class EnumParam(ParamType):
    """A subclass of Enum: its members, by name; combinations of flags that have no name, by value."""

    __slots__ = ("_cls",)

    def __init__(self, annotation: object, cls: type[Enum]) -> None:
        super().__init__(annotation)
        self._cls = cls

    @property
    def name(self) -> str:
        """The class in words."""
        return f"a member of {self._cls.__name__}"

    @property
    def tag(self) -> str:
        """The class's name."""
        return escape(self._cls.__qualname__)

    @property
    def family(self) -> object:
        """That of the type that is mixed in; else its own."""
        return next((family for base, family in _MIXED if issubclass(self._cls, base)), self._cls)

    @property
    def cls(self) -> type[Enum]:
        """The Enum."""
        return self._cls

    @property
    def column_families(self) -> str:
        """How its members stand in a column where nobody says: as what they equal; "" for a plain Enum."""
        families = {"text": "s", "number": "n", "bytes": "x", "UUID": "u", "datetime": "lt", "date": "d"}
        return "f" if issubclass(self._cls, float) else families.get(str(self.family), "")

    def check(self, value: object) -> Enum:
        """The member itself."""
        if isinstance(value, self._cls):
            return value
        raise Misfit(value, self.name)

    def encode(self, canonical: Any) -> str:
        """The member's name, escaped, or `~` and the value of an unnamed combination."""
        # The attributes with underscores: a class may define `name` and `value` in its own way.
        if canonical._name_ in self._cls.__members__:
            return escape(canonical._name_)
        return f"~{canonical._value_}"

    def read(self, token: str) -> Enum:
        """The member."""
        if token.startswith("~") and issubclass(self._cls, Flag):
            return self._cls(int(token[1:]))
        name = unescape(token)
        if name not in self._cls.__members__:
            raise ValueError("no such member")
        return self._cls[name]

    def from_text(self, text: str) -> object:
        """The member of this name."""
        if text in self._cls.__members__:
            return self._cls[text]
        raise Misfit(text, f"one of {', '.join(self._cls.__members__)}")


class LiteralParam(ParamType):
    """A Literal's values of one type: what that type accepts, cut down to these."""

    __slots__ = ("_base", "values")

    def __init__(self, annotation: object, base: ParamType, values: Iterable[object]) -> None:
        super().__init__(annotation)
        self._base = base
        self.values = tuple(values)

    @property
    def plain(self) -> ParamType:
        """The type of its values."""
        return self._base

    @property
    def name(self) -> str:
        """The values."""
        shown = ", ".join(show(value, 40) for value in self.values[:12])
        more = ", ..." if len(self.values) > 12 else ""
        return f"one of {shown}{more}" if len(self.values) > 1 else shown

    @property
    def tag(self) -> str:
        """That of the values' type."""
        return self._base.tag

    @property
    def family(self) -> object:
        """That of the values' type."""
        return self._base.family

    def check(self, value: object) -> object:
        """The value that it equals."""
        try:
            canonical = self._base.check(value)
        except Misfit as misfit:
            raise Misfit(value, self.name) from misfit
        if canonical not in self.values:
            raise Misfit(value, self.name)
        return canonical

    def encode(self, canonical: Any) -> str:
        """As the values' type does."""
        return self._base.encode(canonical)

    def read(self, token: str) -> object:
        """As the values' type does."""
        return self._base.read(token)

    def from_text(self, text: str) -> object:
        """As the values' type does, and one of these."""
        return self.check(self._base.from_text(text))
