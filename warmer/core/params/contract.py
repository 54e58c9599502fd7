"""What every canonical param type does: check a value, write it as a token, read the token back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from warmer.errors import show


class Misfit(ValueError):
    """A value is not of the type: what it is, what was expected, and where inside the param it stands.

    `path` is what follows the param's name: "" for the param itself, "[2].day" for a part of it.
    """

    def __init__(self, value: object, expected: str, path: str = "") -> None:
        super().__init__(value, expected, path)
        self.value, self.expected, self.path = value, expected, path

    def under(self, step: str) -> Misfit:
        """The same misfit, seen from the value that contains this one."""
        return Misfit(self.value, self.expected, step + self.path)

    @property
    def shown(self) -> str:
        """The value and its type, masked and cut, for a message."""
        return f"{show(self.value)} ({type(self.value).__name__})"

    def __str__(self) -> str:
        return f"expected {self.path + ' to be ' if self.path else ''}{self.expected}, got: {self.shown}"


class ParamType(ABC):
    """The canonical values of one annotation, and their tokens.

    Equal values have one canonical value and one token; different values never share a token.
    """

    __slots__ = ("annotation",)

    #: The annotation that this type was built from.
    annotation: object

    def __init__(self, annotation: object) -> None:
        self.annotation = annotation

    @property
    @abstractmethod
    def name(self) -> str:
        """The type in words, for errors: "int", "one of 'a', 'b'"."""

    @property
    def simple(self) -> str | None:
        """The form that a compiled key builder may inline ("str", "int?"), or None. See builder.py."""
        return None

    @property
    def tag(self) -> str:
        """What marks a token of this type inside a union."""
        return self.name

    @property
    def family(self) -> object:
        """Types of different families have no equal values, so that they can stand in one union."""
        return self.tag

    @abstractmethod
    def check(self, value: object) -> object:
        """The canonical value that equals `value`. Raises Misfit when it is not of this type."""

    @abstractmethod
    def encode(self, canonical: Any) -> str:
        """The token of a canonical value: ASCII, of the alphabet in tokens.py."""

    def decode(self, token: str) -> object:
        """The canonical value of a token: the exact inverse of `encode`.

        Raises Misfit for a text that `encode` would not write, so each value has one token only.
        """
        try:
            canonical = self.check(self.read(token))
            if self.encode(canonical) == token:
                return canonical
        except (ValueError, ArithmeticError) as broken:
            raise Misfit(token, f"a token of {self.name}") from broken
        raise Misfit(token, f"a token of {self.name}")

    def from_text(self, text: str) -> object:
        """The canonical value of a text that a person typed, as at a shell; nothing in it is escaped.

        Raises Misfit when it is not one. None is typed as `~`, a tuple as `a;b`.
        """
        try:
            return self.check(self.read(text))
        except (ValueError, ArithmeticError) as broken:
            raise Misfit(text, self.name) from broken

    @abstractmethod
    def read(self, token: str) -> object:
        """A value of a token, unchecked. Raises ValueError or ArithmeticError for what it can't read."""
