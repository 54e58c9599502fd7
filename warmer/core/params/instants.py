"""Params that are a day or an instant.

An aware datetime is its instant: the same instant in two zones is one value, and the two passes through the
hour that a clock repeats in autumn (`fold`) are two. A naive one is its fields (`fold` means nothing without
a zone, and Python's equality ignores it) and never equals an aware one.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Any

from warmer.core.params.contract import Misfit, ParamType

_DATETIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d)(\d\d)(\d\d)(?:\.(\d{6}))?(Z?)", re.ASCII).fullmatch


class DateParam(ParamType):
    """`date`: never a datetime, although Python calls one a date."""

    __slots__ = ()
    name = "date"
    simple = "date"

    def check(self, value: object) -> date:
        """The date itself, as an exact date."""
        if type(value) is date:
            return value
        if isinstance(value, date) and not isinstance(value, datetime):
            return date(value.year, value.month, value.day)
        raise Misfit(value, self.name)

    def encode(self, canonical: Any) -> str:
        """`2026-11-22`."""
        return str(canonical.isoformat())

    def read(self, token: str) -> date:
        """The date."""
        return date.fromisoformat(token)


class DatetimeParam(ParamType):
    """`datetime`: an aware one is its instant, in UTC; a naive one is its fields."""

    __slots__ = ()
    name = "datetime"

    def check(self, value: object) -> datetime:
        """The same instant in UTC, or the same naive fields with fold 0, as an exact datetime."""
        if not isinstance(value, datetime):
            raise Misfit(value, self.name)
        if type(value) is datetime and not value.fold and (value.tzinfo is None or value.tzinfo is UTC):
            return value
        try:
            fields = datetime(  # noqa: DTZ001 - its zone follows
                value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond
            )
            # A subclass may be finer than its fields (pandas.Timestamp has nanoseconds): never cut them off.
            # Its `==` is what says so; `!=` is not always its opposite.
            if type(value) is not datetime and not bool(value.replace(tzinfo=None) == fields):
                raise Misfit(value, "a datetime of whole microseconds")
            offset = value.utcoffset()
            return fields if offset is None else (fields - offset).replace(tzinfo=UTC)
        except OverflowError:
            raise Misfit(value, "a datetime between the years 1 and 9999 in UTC") from None
        except (TypeError, ValueError) as broken:
            if isinstance(broken, Misfit):
                raise
            raise Misfit(value, "a datetime with all of its fields") from broken

    def encode(self, canonical: Any) -> str:
        """`2026-11-22T101530.000001Z`: no fraction when it is zero, no Z when naive."""
        fraction = f".{canonical.microsecond:06d}" if canonical.microsecond else ""
        clock = f"{canonical.hour:02d}{canonical.minute:02d}{canonical.second:02d}"
        zone = "" if canonical.tzinfo is None else "Z"
        return f"{canonical.date().isoformat()}T{clock}{fraction}{zone}"

    def read(self, token: str) -> datetime:
        """The datetime."""
        match = _DATETIME(token)
        if match is None:
            raise ValueError("not a datetime")
        day, hour, minute, second, fraction, zone = match.groups()
        text = f"{day}T{hour}:{minute}:{second}.{fraction or '000000'}"
        return datetime.fromisoformat(text + "+00:00" if zone else text)

    def from_text(self, text: str) -> object:
        """Any ISO 8601 form that Python reads, `2026-11-22T10:15-05:00` for one, and the token's own."""
        try:
            return self.check(self.read(text) if _DATETIME(text) else datetime.fromisoformat(text))
        except ValueError as broken:
            raise Misfit(text, self.name) from broken
