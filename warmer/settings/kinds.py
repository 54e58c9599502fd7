"""What a setting's value may be, and how it is read from a keyword, an environment variable or a TOML value.

A kind says in words what it expects, accepts a Python value and reads a text. It raises `ValueError`
without words of its own: whoever reads a setting says where the value came from and what is expected.
"""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol


class Kind(Protocol):
    """How one setting is checked."""

    @property
    def expected(self) -> str:
        """What the value must be, in words that follow "expected"."""

    def accept(self, value: object) -> object:
        """The value in its one form. Raises ValueError for anything else than what is expected."""

    def from_text(self, text: str) -> object:
        """The value that a text from the environment means. Raises ValueError likewise."""


@dataclass(frozen=True, slots=True)
class Seconds:
    """A duration: seconds, or a timedelta; kept as seconds."""

    least: float
    most: float

    @property
    def expected(self) -> str:
        """The range, in seconds."""
        return f"seconds (or a timedelta) from {self.least:g} to {self.most:g}"

    def accept(self, value: object) -> float:
        """Seconds as a float; a bool is not a number here."""
        if isinstance(value, timedelta):
            value = value.total_seconds()
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError
        if not self.least <= value <= self.most:  # false for NaN, too
            raise ValueError
        return float(value)

    def from_text(self, text: str) -> float:
        """Seconds in decimal notation."""
        return self.accept(float(text))


@dataclass(frozen=True, slots=True)
class Count:
    """A whole number within bounds."""

    least: int
    most: int

    @property
    def expected(self) -> str:
        """The range."""
        return f"a whole number from {self.least:,} to {self.most:,}"

    def accept(self, value: object) -> int:
        """The number; a bool or a float is not one."""
        if isinstance(value, bool) or not isinstance(value, int) or not self.least <= value <= self.most:
            raise ValueError
        return value

    def from_text(self, text: str) -> int:
        """A number in decimal notation."""
        return self.accept(int(text))


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def expected(self) -> str:
        """The words."""
        return " or ".join(repr(word) for word in self.words)

    def accept(self, value: object) -> str:
        """The word as it is written."""
        if not isinstance(value, str) or value not in self.words:
            raise ValueError
        return value

    def from_text(self, text: str) -> str:
        """The word as it is written."""
        return self.accept(text)


@dataclass(frozen=True, slots=True)
class Text:
    """A text of a given form; None only where the setting's default is None."""

    form: re.Pattern[str]
    expected: str
    optional: bool = False
    secret: bool = False

    def accept(self, value: object) -> str | None:
        """The text, unchanged."""
        if value is None and self.optional:
            return None
        if not isinstance(value, str) or self.form.fullmatch(value) is None:
            raise ValueError
        return value

    def from_text(self, text: str) -> str | None:
        """The text, unchanged."""
        return self.accept(text)


@dataclass(frozen=True, slots=True)
class Names:
    """Several Python names."""

    expected: str = "a list of names (separated by commas in the environment)"

    def accept(self, value: object) -> tuple[str, ...]:
        """The names as a tuple; a bare string is refused, since it would be read letter by letter."""
        if isinstance(value, str) or not isinstance(value, Sequence | set | frozenset):
            raise ValueError
        if not all(isinstance(name, str) and name.isidentifier() for name in value):
            raise ValueError
        return tuple(sorted(value)) if isinstance(value, set | frozenset) else tuple(value)

    def from_text(self, text: str) -> tuple[str, ...]:
        """Names separated by commas; an empty text means none."""
        return self.accept([name.strip() for name in text.split(",") if name.strip()])


@dataclass(frozen=True, slots=True)
class SealKeys:
    """One or several secret keys of 32 bytes, written in base64; never shown."""

    expected: str = (
        "32 random bytes in base64, or several such keys (separated by commas in one text); "
        '`python -c "import secrets; print(secrets.token_urlsafe(32))"` makes one'
    )
    secret: bool = True

    def accept(self, value: object) -> tuple[bytes, ...] | None:
        """The keys in their order, as bytes; None where there is none."""
        if value is None:
            return None
        if isinstance(value, str):
            return self.from_text(value)
        if not isinstance(value, Sequence) or not value or not all(isinstance(one, str) for one in value):
            raise ValueError
        return tuple(_key(one) for one in value)

    def from_text(self, text: str) -> tuple[bytes, ...]:
        """Keys separated by commas."""
        return tuple(_key(one) for one in text.split(","))


@dataclass(frozen=True, slots=True)
class Live:
    """A Python object: it can be given as a keyword only, and never in a text."""

    expected: str
    fits: Callable[[object], bool]

    def accept(self, value: object) -> object:
        """The object itself, or None."""
        if value is not None and not self.fits(value):
            raise ValueError
        return value

    def from_text(self, text: str) -> object:
        """Always refused."""
        raise ValueError


def _key(text: str) -> bytes:
    """The bytes of a key in base64 of either alphabet, padded or not. Raises ValueError."""
    written = text.strip().rstrip("=").replace("+", "-").replace("/", "_")
    if re.fullmatch(r"[\w-]{43}", written, re.ASCII) is None:
        raise ValueError
    try:
        key = urlsafe_b64decode(written + "=")
    except binascii.Error as broken:
        raise ValueError from broken
    # A word that was written where a key belongs: of random bytes, hardly any come twice.
    if len(set(key)) < 16:
        raise ValueError
    return key


def url(*schemes: str, optional: bool = False) -> Text:
    """A URL of one of the schemes; with none given, of any."""
    named = "|".join(re.escape(scheme) for scheme in schemes) or r"[A-Za-z][\w+.-]*"
    words = ", ".join(f"{scheme}://" for scheme in schemes)
    expected = f"a URL that begins with {words}" if schemes else "a URL"
    return Text(re.compile(rf"(?:{named})://\S+"), expected, optional=optional)


def dotted(expected: str) -> Text:
    """The dotted name of a module."""
    return Text(re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"), expected)


def label(expected: str, *, optional: bool = False) -> Text:
    """A name that is safe in keys, queue names and file names."""
    return Text(re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"), expected, optional=optional)


def secret(expected: str) -> Text:
    """A text that is never shown."""
    return Text(re.compile(r"\S.*", re.DOTALL), expected, optional=True, secret=True)
