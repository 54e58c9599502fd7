"""warmer.cli.arguments: params as they are typed at a shell."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest

from warmer import Warmer
from warmer.cli import arguments
from warmer.cli.arguments import many_calls, one_call
from warmer.errors import ParamError, UnknownParam, WrongArguments
from warmer.reading import Reading


class Size(Enum):
    SMALL = 1
    LARGE = 2


@pytest.fixture(scope="module")
def reading() -> Reading[Any]:
    """A query with a param of each kind that matters here."""
    shop = Warmer("shop")

    @shop.cached(ttl=60, name="sales")
    def sales(region: str, month: int, day: date | None = None, size: Size = Size.SMALL) -> int:
        return 0

    return shop.readings[sales.name]


def test_one_call_is_read_by_the_types_of_its_params(reading: Reading[Any]) -> None:
    """A text becomes what the param's annotation says, and a text of a str stays as it is."""
    words = ["region=07", "month=7", "day=2025-03-01", "size=LARGE"]

    assert one_call(reading, words) == {
        "region": "07", "month": 7, "day": date(2025, 3, 1), "size": Size.LARGE,
    }  # fmt: skip


def test_one_call_takes_no_list(reading: Reading[Any]) -> None:
    """Where one entry is meant, a comma is part of a text, and an error for a number."""
    assert one_call(reading, ["region=Washington, DC"]) == {"region": "Washington, DC"}
    with pytest.raises(ParamError, match=r"expected month to be int, got: '1,2'"):
        one_call(reading, ["month=1,2"])


def test_many_calls_are_every_combination_of_the_values(reading: Reading[Any]) -> None:
    """Values of several params multiply, in the order in which they are given."""
    calls = many_calls(reading, ["region=north,south", "month=11..12"])

    assert calls == [
        {"region": "north", "month": 11}, {"region": "north", "month": 12},
        {"region": "south", "month": 11}, {"region": "south", "month": 12},
    ]  # fmt: skip


def test_lists_and_ranges_mix_and_repeat_nothing(reading: Reading[Any]) -> None:
    """A value that comes twice is one entry."""
    assert [call["month"] for call in many_calls(reading, ["month=1..3,3,7,-2..-1"])] == [1, 2, 3, 7, -2, -1]


def test_a_range_of_days_has_both_ends(reading: Reading[Any]) -> None:
    """Days run over the end of a month, and the last one is among them."""
    calls = many_calls(reading, ["day=2024-02-28..2024-03-01"])

    assert [call["day"] for call in calls] == [date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1)]


def test_dots_in_a_text_are_no_range(reading: Reading[Any]) -> None:
    """A str param is taken as it is typed, dots and brackets included."""
    assert many_calls(reading, ["region=a..b,[bold]"]) == [{"region": "a..b"}, {"region": "[bold]"}]


def test_a_comma_in_double_quotes_is_part_of_the_value(reading: Reading[Any]) -> None:
    """A list can hold values with commas, as in a CSV file."""
    calls = many_calls(reading, ['region="Washington, DC",Boston'])

    assert [call["region"] for call in calls] == ["Washington, DC", "Boston"]


def test_an_empty_value_is_an_empty_text(reading: Reading[Any]) -> None:
    """`region=` asks for the entry of the empty text, and is not left out."""
    assert many_calls(reading, ["region="]) == [{"region": ""}]


def test_no_params_are_one_call(reading: Reading[Any]) -> None:
    """A query without params has one entry."""
    assert many_calls(reading, []) == [{}]


@pytest.mark.parametrize("text", ["12..1", "2025-01-02..2025-01-01", "1..x", "1.5..2", "..", "1.."])
def test_a_range_that_can_not_be_counted_names_the_param(reading: Reading[Any], text: str) -> None:
    """A range that runs backwards or is of no whole numbers or days is an error that names it."""
    with pytest.raises(ParamError, match=r"expected month to be whole numbers or days"):
        many_calls(reading, [f"month={text}"])


@pytest.mark.parametrize("words", [["region"], ["=north"], ["region=a", "region=b"]])
def test_words_of_another_form_show_the_signature(reading: Reading[Any], words: list[str]) -> None:
    """What is not param=value, or comes twice, is answered with the query's signature or its params."""
    with pytest.raises((WrongArguments, UnknownParam), match="region"):
        many_calls(reading, words)


def test_an_unknown_param_is_named_with_the_nearest(reading: Reading[Any]) -> None:
    """A misspelt param is not ignored."""
    with pytest.raises(UnknownParam, match="Did you mean 'month'"):
        many_calls(reading, ["moth=3"])


def test_too_many_entries_are_refused_before_they_are_made(
    reading: Reading[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A range of a trillion is an error at once, and so is a product of harmless ones."""
    with pytest.raises(WrongArguments, match="more than 1,000,000 entries"):
        many_calls(reading, ["month=1..1000000000000"])
    monkeypatch.setattr(arguments, "MOST_CALLS", 20)
    assert len(many_calls(reading, ["month=1..10", "region=a,b"])) == 20
    with pytest.raises(WrongArguments, match="more than 20 entries"):
        many_calls(reading, ["month=1..10", "region=a,b,c"])


def test_values_of_other_types_have_no_range() -> None:
    """Decimals lie close together, so two of them name no list."""
    shop = Warmer("shop")

    @shop.cached(ttl=60, name="priced")
    def priced(price: Decimal) -> int:
        return 0

    with pytest.raises(ParamError, match="whole numbers or days"):
        many_calls(shop.readings[priced.name], ["price=1..2"])
