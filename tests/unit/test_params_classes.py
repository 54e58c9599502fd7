"""Types of params: enums and records, which are classes of the project's own."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import pytest

from tests.unit.param_kinds import (
    Airline,
    Right,
    Side,
    Spot,
    built,
    token,
)
from warmer.core.params import Misfit


def test_enum_members_are_told_by_name_not_by_value() -> None:
    """Renumbering an Enum with auto() does not move its entries; an alias is its member."""
    assert built(Side).decode("DEPARTURE") is Side.DEPARTURE
    assert token(Airline, Airline.UNITED) == "UNITED"
    assert token(Right, Right.READ | Right.WRITE) == "BOTH"
    assert built(Right).decode("~5") == Right.READ | Right.ADMIN


def test_an_enum_may_call_things_as_it_likes() -> None:
    """Names that no class body allows, and a class with its own idea of `name`, keep their members apart."""
    Odd = Enum("Odd", {"a b": 1, "~1": 2, "é": 3})  # noqa: N806 - a class
    assert {token(Odd, member) for member in Odd} == {"a%20b", "%7E1", "%C3%A9"}

    class Named(Enum):
        ONE = 1
        TWO = 2

        @property
        def name(self) -> str:
            return "same"

    assert token(Named, Named.ONE) != token(Named, Named.TWO)


def test_canonical_records_are_passed_on_as_they_are() -> None:
    """An instance whose fields are canonical is not copied."""
    spot = Spot(1.5, "a")
    assert built(Spot).check(spot) is spot


def test_records_are_told_by_class() -> None:
    """A subclass is another class, as dataclass equality has it, even with the same fields."""

    @dataclass(frozen=True)
    class Marked(Spot):
        pass

    with pytest.raises(Misfit, match="expected Spot"):
        built(Spot).check(Marked(1.5))


def test_a_record_that_rewrites_its_fields_is_refused_unless_it_settles() -> None:
    """A worker makes the record again from the key: __post_init__ must leave it what it was."""

    @dataclass(frozen=True)
    class Upper:
        text: str

        def __post_init__(self) -> None:
            object.__setattr__(self, "text", self.text.upper())

    @dataclass(frozen=True)
    class Longer:
        text: str

        def __post_init__(self) -> None:
            object.__setattr__(self, "text", self.text + "!")

    assert built(Upper).decode(token(Upper, Upper("ua"))) == Upper("UA")
    with pytest.raises(Misfit, match="leaves as it is"):
        built(Longer).check(Longer("a"))
    with pytest.raises(Misfit, match="a token of"):
        built(Longer).decode("(a;)")


def test_a_record_that_refuses_its_fields_is_a_misfit() -> None:
    """Whatever __post_init__ raises, what a caller sees names the class."""

    @dataclass(frozen=True)
    class Positive:
        value: int

        def __post_init__(self) -> None:
            if self.value <= 0:
                raise RuntimeError("not positive")

    with pytest.raises(Misfit, match="a token of Positive") as caught:
        built(Positive).decode("(-1;)")
    assert isinstance(caught.value.__cause__, Misfit)
    with pytest.raises(Misfit, match="fields that Positive accepts"):
        built(Positive).from_text("-1")
