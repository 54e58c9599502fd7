"""The root of the error tree, and how values are shown in a message.

An error is a dataclass of plain values: `args` equals the constructor's arguments, so an error survives
pickling between processes. Its text says what happened, with which values, what was left unchanged and
what to do next, and ends with the place in docs/errors.md that says more.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TypeVar, dataclass_transform

PUBLIC_MODULE = "warmer.errors"

# Fields that hold other programs' words, or an address. They are masked when an error is made, so that
# neither its text nor its repr nor its pickle carries a password or a row's values.
MASKED = frozenset({"cause", "cause_message", "first", "last_words", "reason", "url"})

_E = TypeVar("_E", bound="WarmerError")

_URL_PASSWORD = re.compile(r"(?P<before>[a-zA-Z][\w+.-]*://[^\s:/@?#'\"]*:)[^\s'\"]*@")
_NAMED_SECRET = re.compile(
    r"(?P<name>\b(?:sentinel_)?(?:password|passwd|pwd|passphrase|secret|token|api_?key|auth)\b['\"]?\s*[=:]\s*)"
    r"(?:'[^']*'|\"[^\"]*\"|[^\s&,;)\]}]+)",
    re.IGNORECASE,
)
# What databases add to their messages: SQLAlchemy the statement's parameters, PostgreSQL a row's values.
# All of them end where the text ends: a value may hold any bracket, so an earlier end can't be trusted.
_SQL_PARAMETERS = re.compile(r"\[parameters: .*", re.DOTALL)
_ROW_VALUES = re.compile(r"(?P<before>\([\w\", ]+\)=|Failing row contains )\(.*", re.DOTALL)


def mask(text: str, limit: int = 300) -> str:
    """The text without passwords, without the row values that databases quote, and cut to `limit` characters.

    Masks the password of every URL, values after words such as `password=`, and everything that follows
    SQLAlchemy's `[parameters:` or PostgreSQL's `(column)=`. Rather hides too much than too little.
    """
    # Cut first, generously: matching is bounded, and a password cut in half is still before its mark.
    shown = text if len(text) <= 20 * limit else text[: 20 * limit]
    shown = _URL_PASSWORD.sub(r"\g<before>***@", shown)
    shown = _SQL_PARAMETERS.sub("[parameters: ***]", shown)
    shown = _ROW_VALUES.sub(r"\g<before>(***)", shown)
    shown = _NAMED_SECRET.sub(r"\g<name>***", shown)
    if len(shown) <= limit and len(text) <= 20 * limit:
        return shown
    return f"{shown[:limit]}... ({len(text)} characters)"


def show(value: object, limit: int = 80) -> str:
    """The value's repr, masked and cut to `limit` characters; never raises, however odd the value."""
    try:
        return mask(repr(value), limit)
    except Exception as broken:  # noqa: BLE001 - a broken __repr__ must not hide the error that is being told
        return f"<{type(value).__name__} whose repr raises {type(broken).__name__}>"


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """The known name nearest to `name`, or None when nothing is near."""
    candidates = {candidate.casefold(): candidate for candidate in known}
    nearest = difflib.get_close_matches(name.casefold(), candidates, n=1, cutoff=0.6)
    return candidates[nearest[0]] if nearest else None


def hint(suggestion: str | None, known: Iterable[str]) -> str:
    """The sentence that ends a message about an unknown name."""
    if suggestion is not None:
        return f"Did you mean {suggestion!r}?"
    names = sorted(known)
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"Known: {shown}." if names else "None is known."


class WarmerError(Exception):
    """The root of everything that Warmer raises by itself; catch it to catch them all."""

    __module__ = PUBLIC_MODULE

    def __post_init__(self) -> None:
        named = [field.name for field in fields(self)]  # type: ignore[arg-type]  # every leaf is a dataclass
        for name in MASKED.intersection(named):
            setattr(self, name, mask(getattr(self, name)))
        # BaseException.__new__ keeps positional arguments only; keywords must survive pickling, too.
        self.args = tuple(getattr(self, name) for name in named)

    def message(self) -> str:
        """What happened, with which values, what was left unchanged, what to do next."""
        return (self.__doc__ or "").partition("\n")[0]

    @classmethod
    def anchor(cls) -> str:
        """The name of this error's section in docs/errors.md: `LeaseLost` is at `#lease-lost`."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", cls.__name__).lower()

    def __str__(self) -> str:
        """The message, and where to read more."""
        return f"{self.message()} (docs/errors.md#{self.anchor()})"


@dataclass_transform(eq_default=False)
def error(cls: type[_E]) -> type[_E]:
    """Make an error a dataclass of its fields, and show it in tracebacks where users import it from."""
    made = dataclass(eq=False, repr=False)(cls)
    made.__module__ = PUBLIC_MODULE
    return made
