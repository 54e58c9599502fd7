"""pydantic models as values, where pydantic is installed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal

import pytest

from warmer.core.values import Codec
from warmer.errors import CorruptEntry, ResultNotStorable, UnstorableResult

pydantic = pytest.importorskip("pydantic")
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, computed_field, field_serializer  # noqa: E402 - optional


class Carrier(Enum):
    UA = "UA"


@dataclass
class Gate:
    code: str


class Delay(BaseModel):
    carrier: Carrier
    mean: Decimal
    at: datetime
    day: date
    lasts: timedelta
    tags: frozenset[str] = frozenset()
    gate: Gate | None = None
    kind: Literal["a", "b"] = "a"


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    mean: Decimal
    day: date
    pair: tuple[int, ...]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def double(self) -> Decimal:
        return self.mean * 2


class Aliased(BaseModel):
    name: str = Field(validation_alias="in", serialization_alias="out")


class Lossy(BaseModel):
    name: str

    @field_serializer("name")
    def _shorten(self, name: str) -> str:
        return name[:3]


class Board(BaseModel):
    rows: list[Delay]
    next: Board | None = None


class Secretive(BaseModel):
    n: int
    _memo: int = PrivateAttr(default=0)


class Floating(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="constants")

    n: float


@dataclass
class Holder:
    delay: Delay | None
    more: list[Strict]


class Later(BaseModel):
    carrier: Carrier
    mean: float
    at: datetime
    day: date
    lasts: timedelta
    tags: frozenset[str] = frozenset()
    gate: Gate | None = None
    kind: Literal["a", "b"] = "a"


DELAY = Delay(
    carrier=Carrier.UA,
    mean=Decimal("1.50"),
    at=datetime(2013, 1, 1, tzinfo=UTC),
    day=date(2013, 1, 1),
    lasts=timedelta(minutes=5),
    tags=frozenset({"x"}),
    gate=Gate("B4"),
)
STRICT = Strict(mean=Decimal("2"), day=date(2013, 1, 1), pair=(1, 2))


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Delay, DELAY),
        (list[Delay], [DELAY, DELAY]),
        (dict[str, Delay | None], {"a": DELAY, "b": None}),
        (Strict, STRICT),
        (Aliased, Aliased.model_validate({"in": "x"})),
        (Board, Board(rows=[DELAY], next=Board(rows=[]))),
        (Holder, Holder(DELAY, [STRICT])),
        (Secretive, Secretive(n=1)),
        (tuple[Delay, int], (DELAY, 1)),
    ],
)
def test_a_model_comes_back_equal(annotation: Any, value: Any) -> None:
    """Alone, in lists, in dicts, in dataclasses: strict, aliased, nested, recursive."""
    codec = Codec(annotation, "q")
    back = codec.decode(*codec.encode(value))
    assert back == value
    assert type(back) is type(value)


def test_a_model_that_holds_nan_is_stored_where_it_says_how() -> None:
    """NaN makes a model unequal to itself; that is not taken for a loss."""
    codec = Codec(Floating, "q")
    assert str(codec.decode(*codec.encode(Floating(n=float("nan")))).n) == "nan"


@pytest.mark.parametrize(
    ("annotation", "value", "says"),
    [
        (Delay, DELAY.model_dump(), "should be Delay, got dict"),
        (list[Delay], [STRICT], "should be Delay, got Strict"),
        (Lossy, Lossy(name="abcdef"), "Lossy does not come back equal from its own JSON"),
        (Delay, Delay.model_construct(carrier="XX"), "does not come back equal"),
        (list[str], [DELAY], "should be str, got Delay"),
        (list[Any], [DELAY], "got Delay"),
    ],
)
def test_a_model_that_would_change_is_refused(annotation: Any, value: Any, says: str) -> None:
    """Another class, a lossy serializer, a model that was never validated."""
    with pytest.raises(ResultNotStorable) as caught:
        Codec(annotation, "q").encode(value)
    assert says in str(caught.value)
    assert "abcdef" not in str(caught.value)


def test_private_attributes_that_were_set_are_not_lost_in_silence() -> None:
    """What a model's JSON does not hold is an error when it differs from what a new one has."""
    secretive = Secretive(n=1)
    secretive._memo = 5
    with pytest.raises(ResultNotStorable, match="does not come back equal"):
        Codec(Secretive, "q").encode(secretive)


def test_a_payload_that_is_no_longer_valid_is_a_miss() -> None:
    """A model that grew stricter makes its older entries misses, not errors."""
    flags, payload = Codec(list[str], "q").encode(["{}"])
    with pytest.raises(CorruptEntry):
        Codec(list[Delay], "q").decode(flags, payload)
    flags, payload = Codec(list[int], "q").encode([1])
    with pytest.raises(CorruptEntry):
        Codec(list[Delay], "q").decode(flags, payload)


def test_a_union_of_models_is_refused_where_it_is_annotated() -> None:
    """msgspec can't tell two models apart; the error says so at decoration."""
    with pytest.raises(UnstorableResult, match="custom type"):
        Codec(Delay | Strict, "q")


def test_models_are_never_shared() -> None:
    """A frozen model may still hold a list."""
    assert Codec(Strict, "q").immutable is False


def test_the_digest_of_a_model_is_its_fields() -> None:
    """A field retyped is another version; a class renamed is not; recursion ends."""
    renamed = type("Renamed", (Delay,), {"__module__": __name__})
    assert Codec(Delay, "q").type_digest == Codec(renamed, "q").type_digest
    different = [Delay, Later, Strict, Board, Aliased, list[Delay], Holder, Secretive]
    assert len({Codec(annotation, "q").type_digest for annotation in different}) == len(different)


def test_the_digest_sees_into_what_a_model_holds() -> None:
    """A dataclass or an Enum inside a model is part of its structure."""

    def model(inner: Any) -> Any:
        return pydantic.create_model("Model", inner=(inner, ...))

    @dataclass
    class Wider:
        code: str
        more: int

    fields = [Gate, Wider, Carrier, Delay, list[Gate], Decimal | str, str | Decimal | None, pydantic.HttpUrl]
    assert len({Codec(model(inner), "q").type_digest for inner in fields}) == len(fields)
    assert Codec(model(Decimal | str), "q").type_digest == Codec(model(str | Decimal), "q").type_digest


def test_pydantic_is_not_imported_by_us() -> None:
    """Who does not use it does not pay for it, and need not have it."""
    check = "import sys, warmer.core.values as v; v.Codec(list[int], 'q'); print('pydantic' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "False\n"
