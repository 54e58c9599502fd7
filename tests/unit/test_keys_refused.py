"""Keys of entries: how mistakes in a call, or in a name, are told."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from uuid import UUID

import pytest

from tests.unit.keyed import DAY, Spot, board, delays, factory, near
from warmer.core.keys import KeyFactory
from warmer.core.signature import read_params
from warmer.errors import InvalidOption, ParamError, UnknownParam, WrongArguments


@pytest.mark.parametrize(
    ("args", "kwargs", "param", "shown"),
    [
        (("UA", "3"), {}, "month", "'3' (str)"),
        (("UA", 3.0), {}, "month", "3.0 (float)"),
        (("UA", True), {}, "month", "True (bool)"),
        ((None,), {}, "carrier", "None (NoneType)"),
        ((), {"carrier": b"UA"}, "carrier", "b'UA' (bytes)"),
    ],
)
def test_a_value_of_another_type_is_an_error_that_names_its_param(
    args: tuple[object, ...], kwargs: dict[str, object], param: str, shown: str
) -> None:
    """`"3"`, `3.0` and `True` are no ints, and the error says which param of which query."""
    with pytest.raises(ParamError) as caught:
        factory().key_of(*args, **kwargs)
    assert (caught.value.query, caught.value.param, caught.value.value) == ("delays", param, shown)
    with pytest.raises(ParamError):
        factory().entry(*args, **kwargs)


def test_a_mistake_inside_a_param_is_told_by_its_path() -> None:
    """The error for a field of a dataclass names the field."""
    with pytest.raises(ParamError, match=re.escape("near: expected spot.x to be float, got: 'x' (str)")):
        factory(near).key_of(Spot("x"), Decimal(1), UUID(int=1))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("args", "kwargs", "reason"),
    [
        ((), {}, "missing 1 required positional argument: 'carrier'"),
        (("UA", 3, 4), {}, "takes from 1 to 2 positional arguments but 3 were given"),
        (("UA",), {"carrier": "UA"}, "got multiple values for argument 'carrier'"),
    ],
)
def test_arguments_that_do_not_bind_are_told_beside_the_signature(
    args: tuple[object, ...], kwargs: dict[str, object], reason: str
) -> None:
    """Too few, too many, and one given twice."""
    with pytest.raises(WrongArguments) as caught:
        factory().key_of(*args, **kwargs)
    assert caught.value.reason == reason
    assert caught.value.signature == "(carrier: str, month: int = 3)"
    assert caught.value.__cause__ is None


def test_a_positional_param_can_not_be_passed_by_name() -> None:
    """As in the function itself."""
    with pytest.raises(WrongArguments, match="positional-only"):
        factory(board).key_of(day=DAY)


@pytest.mark.parametrize(("name", "suggestion"), [("mont", "month"), ("MONTH", "month"), ("x", None)])
def test_an_unknown_param_suggests_the_one_that_was_meant(name: str, suggestion: str | None) -> None:
    """The error is the same in a call, in an invalidation by part and in a set of params."""
    keys = factory()
    calls: list[Callable[[], object]] = [
        lambda: keys.key_of("UA", **{name: 3}),
        lambda: keys.partial(**{name: 3}),
        lambda: keys.tokens({"carrier": "UA", name: 3}),
        lambda: keys.matches("UA,3", {name: "3"}),
        lambda: keys.from_text(name, "3"),
    ]
    for call in calls:
        with pytest.raises(UnknownParam) as caught:
            call()
        assert caught.value.suggestion == suggestion
        assert caught.value.known == ("carrier", "month")


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("version", {"version": ""}),
        ("version", {"version": "v" * 33}),
        ("version", {"version": "é" * 6}),
        ("name", {"query": "q" * 162}),
        ("name", {"query": "é" * 50}),
        ("namespace", {"namespace": ""}),
        ("namespace", {"namespace": "n" * 200}),
    ],
)
def test_a_name_that_leaves_no_room_for_params_is_refused(option: str, given: dict[str, str]) -> None:
    """However long its params, every key must fit into 250 bytes; the error says how long a name may be."""
    with pytest.raises(InvalidOption) as caught:
        factory(**given)  # type: ignore[arg-type]
    assert caught.value.option == option
    longest = int(re.search(r"1 to (\d+) bytes", caught.value.expected)[1])  # type: ignore[index]
    at_most = {"version": "version", "name": "query", "namespace": "namespace"}[option]
    fitting = factory(**{at_most: "n" * longest})  # type: ignore[arg-type]
    assert len(fitting.entry("x" * 1000).key) <= 250


def test_an_empty_query_name_is_refused() -> None:
    """A key without a query could not be read back."""
    params = read_params(delays, "delays")
    with pytest.raises(InvalidOption, match="name"):
        KeyFactory("flights", 1, "", "7", params.signature, params.types)
