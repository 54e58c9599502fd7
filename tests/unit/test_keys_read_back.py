"""Keys of entries: read back into params, and matched by some of them."""

from __future__ import annotations

import pytest

from tests.unit.keyed import DAY, Airline, board, everything, factory
from warmer.core.keys import parse
from warmer.errors import KeyDigested, NotAKey, ParamError, WrongArguments


def test_a_digested_key_needs_its_params() -> None:
    """Without them the error says where they are; with others it says so, too."""
    keys = factory()
    entry = keys.entry("x" * 300, 3)
    with pytest.raises(KeyDigested):
        parse(entry.key)
    with pytest.raises(KeyDigested):
        keys.from_member(entry.member)
    with pytest.raises(NotAKey, match="not those"):
        parse(entry.key, "x,3")


def test_params_read_back_as_they_were() -> None:
    """From a call to a key and back to the call."""
    keys = factory(board)
    entry = keys.entry(DAY, "EWR", late=True)
    assert keys.params_of(entry.params) == {"day": DAY, "airport": "EWR", "late": True}
    assert keys.canonical(DAY) == {
        "day": DAY,
        "airport": None,
        "late": False,
    }
    assert keys.call((DAY, "EWR", True)) == ((DAY, "EWR"), {"late": True})
    assert keys.tokens({"day": DAY, "late": True}) == "2026-11-22,~,true"
    assert factory(everything).params_of("") == {}
    assert factory(everything).tokens({}) == ""


def test_tokens_need_every_param_without_default() -> None:
    """What is missing from a set of params is named."""
    with pytest.raises(WrongArguments, match="'carrier' is missing"):
        factory().tokens({"month": 3})


@pytest.mark.parametrize("text", ["", "UA", "UA,3,4", "UA,three", "UA,03", "U A,3", "UA,~"])
def test_a_text_of_other_params_is_refused(text: str) -> None:
    """Params of an older version, or damaged ones, are an error and never another entry."""
    with pytest.raises(NotAKey):
        factory().params_of(text)


def test_a_query_without_params_has_one_text() -> None:
    """There is nothing to read."""
    with pytest.raises(NotAKey, match="has 0 params, this text has 1"):
        factory(everything).params_of("3")


def test_a_member_of_another_query_is_refused() -> None:
    """A factory reads members of its own query, of whichever version."""
    assert factory().from_member("delays@old:UA,3").key == "w:{flights:0}:e:delays@old:UA,3"
    with pytest.raises(NotAKey, match="an entry of board, not of delays"):
        factory().from_member("board@7:UA,3")


@pytest.mark.parametrize(
    "key",
    [
        "",
        "delays@7:UA,3",
        "w:{flights:0}:seq",
        "w:{flights}:e:delays@7:UA,3",
        "w:{flights:x}:e:delays@7:UA,3",
        "w:{:0}:e:delays@7:UA,3",
        "w:{flights:0}:e:delays:UA,3",
        "w:{flights:0}:e:@7:UA,3",
        "w:{flights:0}:e:delays@:UA,3",
        "w:{flights:0}:e:delays@7",
        "w:{flights:0}:e:delays@7:U A,3",
        "w:{flights:0}:e:delays@7:UA,3\n",
        "w:{flights:0}:e:delays@7:{UA}",
        "w:{flights:0}:e:delays@7:#123",
        "w:{flights:0}:e:del%2ays@7:UA",
        "w:{flights:0}:e:del%FFays@7:UA",
        "xw:{flights:0}:e:delays@7:UA,3",
    ],
)
def test_a_foreign_key_is_refused(key: str) -> None:
    """What is not exactly an entry's key is an error that shows it."""
    with pytest.raises(NotAKey):
        parse(key)


def test_partial_params_are_checked_and_canonical() -> None:
    """An invalidation by part passes the same checks as a call."""
    keys = factory()
    assert keys.partial(carrier=Airline.UNITED) == {"carrier": "UA"}
    assert keys.partial() == {}
    with pytest.raises(ParamError, match="expected month to be int"):
        keys.partial(month="3")


@pytest.mark.parametrize(
    ("tokens", "partial", "matches"),
    [
        ("UA,3", {"carrier": "UA"}, True),
        ("UA,3", {"carrier": "UA", "month": "3"}, True),
        ("UA,3", {"carrier": "UA", "month": "4"}, False),
        ("UA,3", {"month": "UA"}, False),
        ("UA,3", {}, True),
        ("U,A", {"carrier": "UA"}, False),
    ],
)
def test_an_entry_matches_if_all_parts_do(tokens: str, partial: dict[str, str], matches: bool) -> None:
    """Each given param is compared with the token in its own place."""
    assert factory().matches(tokens, partial) is matches


def test_an_entry_of_a_version_with_other_params_matches() -> None:
    """What can't be told apart is rather removed than left to be served."""
    assert factory().matches("UA", {"carrier": "DL"})
    assert factory().matches("UA,3,EWR", {"carrier": "DL"})


def test_a_param_typed_by_hand_passes_the_same_checks() -> None:
    """What a person types is read by the param's type; a mistake names the param."""
    assert factory().from_text("carrier", "U A") == "U A"
    assert factory().from_text("month", "3") == 3
    with pytest.raises(ParamError, match="expected month to be int, got: 'three'"):
        factory().from_text("month", "three")
