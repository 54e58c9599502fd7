"""Params on the command line: `name=value`, `name=a,b,c`, `name=1..12`, read by the param's own type."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

from warmer.core.params import Misfit
from warmer.errors import ParamError, UnknownParam, WrongArguments, did_you_mean
from warmer.reading import Reading

MOST_CALLS = 1_000_000


def one_call(reading: Reading[Any], words: Sequence[str]) -> dict[str, Any]:
    """The params of one entry. Raises ParamError, UnknownParam, WrongArguments."""
    return {name: _read(reading, name, text) for name, text in _pairs(reading, words)}


def many_calls(reading: Reading[Any], words: Sequence[str]) -> list[dict[str, Any]]:
    """The params of every combination of the values given. Raises ParamError, UnknownParam, WrongArguments."""
    names, choices, count = [], [], 1
    for name, text in _pairs(reading, words):
        values = list(_values(reading, name, text))
        names.append(name)
        choices.append(values)
        count *= len(values)
        if count > MOST_CALLS:
            raise WrongArguments(reading.name, f"that makes more than {MOST_CALLS} entries", _usage(reading))
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*choices)]


def _pairs(reading: Reading[Any], words: Sequence[str]) -> Iterator[tuple[str, str]]:
    seen = set()
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise WrongArguments(reading.name, f"{word!r} is not of the form param=value", _usage(reading))
        if name not in reading.keys.types:
            known = reading.keys.names
            raise UnknownParam(reading.name, name, known, did_you_mean(name, known))
        if name in seen:
            raise WrongArguments(reading.name, f"{name} is given twice", _usage(reading))
        seen.add(name)
        yield name, text


def _values(reading: Reading[Any], name: str, text: str) -> Iterator[Any]:
    for part in text.split(",") if not text.startswith("(") else [text]:
        first, dots, last = part.partition("..")
        if not dots:
            yield _read(reading, name, part)
            continue
        low, high = _read(reading, name, first), _read(reading, name, last)
        yield from _span(reading, name, part, low, high)


def _span(reading: Reading[Any], name: str, text: str, low: Any, high: Any) -> Iterator[Any]:
    if type(low) is type(high) is int and low <= high:
        yield from range(low, high + 1)
    elif type(low) is type(high) is date and low <= high:
        yield from (low + timedelta(days=n) for n in range((high - low).days + 1))
    else:
        raise ParamError(
            reading.name, name, repr(text), "whole numbers or days, the first not after the last"
        )


def _read(reading: Reading[Any], name: str, text: str) -> Any:
    try:
        return reading.keys.types[name].from_text(text)
    except Misfit as misfit:
        raise ParamError(reading.name, name + misfit.path, misfit.shown, misfit.expected) from None


def _usage(reading: Reading[Any]) -> str:
    return " ".join(f"{name}=..." for name in reading.keys.names)
