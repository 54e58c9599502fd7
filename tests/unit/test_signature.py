"""Reading a query's params from its function: what is refused where it is declared, and with which advice."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any

import pytest

from warmer.core.signature import Params, read_params
from warmer.errors import UnannotatedParam, UnsupportedParam, UnsupportedSignature

if TYPE_CHECKING:
    from decimal import Decimal


IN_PARIS = dt.datetime(2026, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1)))


@dataclass(frozen=True)
class Spot:
    x: float


def read(fn: Callable[..., object], *resources: str) -> Params:
    """The params of a function."""
    return read_params(fn, "tasks.flights.delays", resources)


def names(fn: Callable[..., object], *resources: str) -> dict[str, str]:
    """Its params, each with its type in words."""
    return {name: kind.name for name, kind in read(fn, *resources).types.items()}


def test_params_are_read_in_order_with_their_types() -> None:
    """Positional-only and keyword-only params, defaults and quoted annotations are all read."""

    def query(a: int, /, b: str | None = None, *, c: tuple[Spot, ...] = ()) -> None: ...

    assert names(query) == {"a": "int", "b": "str or None", "c": "a tuple of any number of: Spot"}
    assert str(read(query).signature).startswith("(a: int, /, b: str | None = None, *, c: tuple[")


def test_a_quoted_name_inside_an_annotation_is_found() -> None:
    """Names in quotes are looked up where the function is defined."""

    def query(a: tuple["Spot", ...], b: "Spot | None") -> None: ...  # noqa: UP037 - users quote

    assert names(query) == {"a": "a tuple of any number of: Spot", "b": "Spot or None"}


def test_a_wrapped_function_is_read_as_what_it_wraps() -> None:
    """A decorator that uses functools.wraps does not hide the signature or its names."""

    def query(spot: Spot) -> None: ...

    @functools.wraps(query)
    def wrapper(*args: Any, **kwargs: Any) -> None: ...

    assert names(wrapper) == {"spot": "Spot"}


def test_resources_are_no_params() -> None:
    """What a load opens for itself is neither checked nor part of the signature, wherever it stands."""

    def query(session, day: dt.date, client=None, *, carrier: str = "UA") -> None: ...  # type: ignore[no-untyped-def]

    params = read(query, "session", "client")
    assert list(params.types) == ["day", "carrier"]
    assert list(params.signature.parameters) == ["day", "carrier"]


def test_defaults_are_canonical() -> None:
    """A default is checked where it is declared and ends up as its canonical value."""

    def query(x: float = 3, at: dt.datetime = IN_PARIS) -> None: ...

    defaults = [one.default for one in read(query).signature.parameters.values()]
    assert repr(defaults) == "[3.0, datetime.datetime(2025, 12, 31, 23, 0, tzinfo=datetime.timezone.utc)]"


def test_a_default_of_another_type_is_refused() -> None:
    """`day: date = None` is a mistake that would only show in a call; it shows at the declaration."""

    def query(day: dt.date = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013

    with pytest.raises(UnsupportedSignature, match="'day' the default None, which is not date") as caught:
        read(query)
    assert "annotation of day" in caught.value.instead


def test_a_param_without_annotation_is_refused() -> None:
    """Values of no type can't be checked; the error names the param."""

    def query(carrier, month: int) -> None: ...  # type: ignore[no-untyped-def]

    with pytest.raises(UnannotatedParam) as caught:
        read(query)
    assert (caught.value.query, caught.value.param) == ("tasks.flights.delays", "carrier")


class Flights:
    def delays(self, day: dt.date) -> None: ...

    @classmethod
    def of_class(cls, day: dt.date) -> None: ...

    @staticmethod
    def plain(day: dt.date) -> None: ...


@pytest.mark.parametrize("method", [Flights.delays, Flights.of_class.__func__])  # type: ignore[attr-defined]
def test_a_method_is_refused(method: Callable[..., object]) -> None:
    """An object can't be part of a key; the error says what to write in place of a method."""
    with pytest.raises(UnsupportedSignature, match="is a method") as caught:
        read(method)
    assert "function at module level" in caught.value.instead


def test_a_static_method_is_a_function() -> None:
    """Without self or cls nothing stands in the way."""
    assert names(Flights.plain) == {"day": "date"}


def test_a_param_called_self_later_on_is_a_param() -> None:
    """Only the first param without annotation is an object's self."""

    def query(day: dt.date, self: int) -> None: ...

    assert names(query) == {"day": "date", "self": "int"}


def test_variable_arguments_are_refused() -> None:
    """*args and **kwargs have no fixed place in a key; the error says what to write."""

    def many(*carriers: str) -> None: ...

    def named(day: dt.date, **filters: str) -> None: ...

    with pytest.raises(UnsupportedSignature, match=r"takes \*carriers") as caught:
        read(many)
    assert "carriers: tuple[str, ...]" in caught.value.instead
    with pytest.raises(UnsupportedSignature, match=r"takes \*\*filters"):
        read(named)


def test_a_name_that_is_only_there_for_type_checkers_is_refused() -> None:
    """An annotation under TYPE_CHECKING can't be checked against; the error says why."""

    def query(price: Decimal) -> None: ...

    with pytest.raises(UnsupportedParam, match="TYPE_CHECKING") as caught:
        read(query)
    assert caught.value.where == "tasks.flights.delays(price)"
    assert caught.value.annotation == "Decimal"
    assert isinstance(caught.value.__cause__, NameError)


@pytest.mark.parametrize("text", ["not a type (", "dt.nowhere", "Spot[int]", "Missing | int"])
def test_an_annotation_that_can_not_be_evaluated_is_refused(text: str) -> None:
    """Whatever is wrong in a quoted annotation is an error that names the param."""

    def query(day: Any) -> None: ...

    query.__annotations__["day"] = text
    with pytest.raises(UnsupportedParam) as caught:
        read(query)
    assert caught.value.annotation == text


def test_a_param_that_can_not_be_written_is_refused() -> None:
    """A signature made by hand may have a keyword for a name; no code can be compiled from it."""

    def query() -> None: ...

    strange = Parameter("class", Parameter.POSITIONAL_ONLY, annotation=int)
    query.__signature__ = Signature([strange])  # type: ignore[attr-defined]
    with pytest.raises(UnsupportedSignature, match="called 'class'"):
        read(query)
