"""Params on the command line: `name=value`, `name=a,b,c`, `name=1..12`, read by the param's own type.

A value that holds a comma stands in double quotes: `city='"Washington, DC",Boston'`.
"""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

from warmer.errors import ParamError, UnknownParam, WrongArguments, did_you_mean
from warmer.reading import Reading

MOST_CALLS = 1_000_000


def one_call(reading: Reading[Any], words: Sequence[str]) -> dict[str, Any]:
    """The params of one entry. Raises ParamError, UnknownParam, WrongArguments."""
    return {name: reading.keys.from_text(name, text) for name, text in _pairs(reading, words)}


def many_calls(reading: Reading[Any], words: Sequence[str]) -> list[dict[str, Any]]:
    """The params of every combination of the values given.

    Raises ParamError, UnknownParam, and WrongArguments when there are more than MOST_CALLS.
    """
    choices: dict[str, list[Any]] = {}
    for name, text in _pairs(reading, words):
        some = itertools.islice(_values(reading, name, text), MOST_CALLS + 1)
        choices[name] = list(dict.fromkeys(some))
        if math.prod(map(len, choices.values())) > MOST_CALLS:
            raise _wrong(reading, f"that makes more than {MOST_CALLS:,} entries")
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


def _pairs(reading: Reading[Any], words: Sequence[str]) -> Iterator[tuple[str, str]]:
    seen = set()
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise _wrong(reading, f"{word!r} is not of the form param=value")
        if name not in reading.keys.types:
            known = reading.keys.names
            raise UnknownParam(reading.name, name, known, did_you_mean(name, known))
        if name in seen:
            raise _wrong(reading, f"{name} is given twice; several values are written {name}=a,b")
        seen.add(name)
        yield name, text


def _values(reading: Reading[Any], name: str, text: str) -> Iterator[Any]:
    for part in next(csv.reader([text]), [""]) or [""]:
        span = _span(reading, name, part)
        if span is None:
            yield reading.keys.from_text(name, part)
        else:
            yield from span


def _span(reading: Reading[Any], name: str, part: str) -> Iterator[Any] | None:
    """The values from one to another, both included, if the text means that; for another type it is text."""
    first, dots, last = part.partition("..")
    if not dots:
        return None
    try:
        low, high = (reading.keys.from_text(name, end) for end in (first, last))
    except ParamError:
        low = high = None
    if type(low) is type(high) is int and low <= high:
        return iter(range(low, high + 1))
    if type(low) is type(high) is date and low <= high:
        return (low + timedelta(days=n) for n in range((high - low).days + 1))
    if isinstance(low, str) and isinstance(high, str):
        return None
    raise ParamError(reading.name, name, repr(part), "whole numbers or days, the first not after the last")


def _wrong(reading: Reading[Any], reason: str) -> WrongArguments:
    return WrongArguments(reading.name, reason, str(reading.keys.signature))
