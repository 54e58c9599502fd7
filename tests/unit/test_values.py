"""What the codec stores and brings back, and what it will not store."""

from __future__ import annotations

import dataclasses
import enum
import threading
import uuid
from collections import Counter, OrderedDict, defaultdict, namedtuple
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, TypedDict, TypeVar
from zoneinfo import ZoneInfo

import msgspec
import pytest
from typing_extensions import TypeAliasType

from warmer.core.header import COMPRESSED, DIGESTED
from warmer.core.payload import CHECKSUM_SIZE, DIGEST_SIZE
from warmer.core.values import Codec
from warmer.errors import ResultNotStorable, ResultTooLarge

T = TypeVar("T")
NEW_YORK = ZoneInfo("America/New_York")
PLUS_5 = timezone(timedelta(hours=5))


class Carrier(enum.Enum):
    UA = "UA"
    AA = "AA"


class Rank(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Days(enum.Flag):
    SAT = 1
    SUN = 2


@dataclass
class Delay:
    carrier: str
    mean: Decimal
    day: date
    note: str | None = None


@dataclass
class Twin:
    carrier: str
    mean: Decimal
    day: date
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Airport:
    code: str
    zone: str


@dataclass
class Tree:
    name: str
    children: list[Tree] = field(default_factory=list)
    left: Tree | None = None


@dataclass
class Page(Generic[T]):
    items: list[T]
    more: bool


class Plane(msgspec.Struct):
    tail: str
    built: int | None = None


class Point(msgspec.Struct, array_like=True, frozen=True):
    x: float
    y: float


class Late(msgspec.Struct, tag=True):
    minutes: int


class Gone(msgspec.Struct, tag=True):
    why: str


class Partial(msgspec.Struct):
    name: str
    size: int | msgspec.UnsetType = msgspec.UNSET


class Sparse(msgspec.Struct, omit_defaults=True):
    name: str
    tags: list[str] = []


class Weather(NamedTuple):
    at: datetime
    wind: float


class Board(TypedDict):
    day: date
    rows: list[Delay]
    note: NotRequired[str]


@dataclass
class Positive:
    n: Annotated[int, msgspec.Meta(gt=0)]


@dataclass
class Growing:
    n: int

    def __post_init__(self) -> None:
        self.n += 1


@dataclass
class Checked:
    n: int

    def __post_init__(self) -> None:
        if self.n < 0:
            raise ValueError("n is below 0")


@dataclass(eq=False)
class Identity:
    n: float


FlightNumber = NewType("FlightNumber", int)
Rows = TypeAliasType("Rows", list[Delay])
Pair = TypeAliasType("Pair", tuple[T, T], type_params=(T,))
DELAY = Delay("UA", Decimal("1.50"), date(2013, 1, 1))

#: annotation, a value of it
ROUND_TRIPS: list[tuple[Any, Any]] = [
    (str, "look-alike: \u0430\u0301 \U0001f6eb \0"),
    (int, -(2**63)),
    (int, 2**64 - 1),
    (bool, True),
    (float, -0.0),
    (float, float("inf")),
    (None, None),
    (bytes, b"\x00\xff"),
    (bytearray, bytearray(b"\x00\xff")),
    (Decimal, Decimal("123456789012345678901234567890.10")),
    (Decimal, Decimal("-Infinity")),
    (uuid.UUID, uuid.UUID(int=42)),
    (date, date.min),
    (date, date.max),
    (datetime, datetime(2013, 1, 1, 5, 17, 0, 1)),
    (datetime, datetime(2013, 1, 1, 5, 17, tzinfo=UTC)),
    (datetime, datetime(2013, 7, 1, 5, 17, 0, 999_999, tzinfo=NEW_YORK)),
    (time, time(23, 59, 59, 999_999)),
    (time, time(23, 59, tzinfo=PLUS_5)),
    (timedelta, timedelta(days=-3, microseconds=1)),
    (timedelta, timedelta.max),
    (Carrier, Carrier.UA),
    (Rank, Rank.HIGH),
    (Days, Days.SAT | Days.SUN),
    (Literal["a", 1, None], 1),
    (int | None, None),
    (int | str | None, "x"),
    (Literal["a"] | Literal["b"] | None, "b"),
    (float | int, 2**60),
    (list[int], []),
    (list[Delay], [DELAY, Delay("AA", Decimal(0), date(2013, 1, 2), "x")]),
    (dict[str, list[int]], {"a": [1], "": []}),
    (dict[int, str], {1: "a", -1: "b"}),
    (dict[tuple[int, str], float], {(1, "a"): 0.5}),
    (dict[date, Decimal], {date(2013, 1, 1): Decimal(1)}),
    (dict[uuid.UUID, Carrier], {uuid.UUID(int=1): Carrier.AA}),
    (dict[Airport, int], {Airport("JFK", "EST"): 1}),
    (tuple[int, str, date], (1, "a", date(2013, 1, 1))),
    (tuple[()], ()),
    (tuple[Decimal, ...], (Decimal(1), Decimal(2))),
    (set[str], {"a", "b"}),
    (frozenset[date], frozenset({date(2013, 1, 1)})),
    (set[tuple[int, int]], {(1, 2)}),
    (Airport, Airport("JFK", "EST")),
    (Tree, Tree("a", [Tree("b"), Tree("c", [Tree("d")])], Tree("e"))),
    (Page[Delay], Page([DELAY], more=False)),
    (Page[int], Page([1], more=True)),
    (Plane, Plane("N14228", 1999)),
    (list[Point], [Point(1.0, 2.0)]),
    (list[Late | Gone], [Late(5), Gone("fog")]),
    (Partial, Partial("a")),
    (Partial, Partial("a", 3)),
    (Sparse, Sparse("a")),
    (Weather, Weather(datetime(2013, 1, 1, tzinfo=UTC), 10.5)),
    (Board, {"day": date(2013, 1, 1), "rows": [DELAY]}),
    (Board, {"day": date(2013, 1, 1), "rows": [], "note": "x"}),
    (Growing | None, None),
    (Checked, Checked(1)),
    (FlightNumber, 7),
    (Annotated[int, "documented"], 7),
    (Annotated[int, msgspec.Meta(title="n", gt=0)], 7),
    (Rows, [DELAY]),
    (Pair[int], (1, 2)),
    (dict[str, Rows | None], {"a": None}),
    (Sequence[int], [1, 2]),
    (Mapping[str, int], {"a": 1}),
    (AbstractSet[int], {1}),
    (dict[str, Any], {"a": [1, "x", None, True, 1.5, b"b", {"b": {}}], "b": {1: 2}}),
    (list[object], [1, "a"]),
    (Page[Any], Page([1, {"a": None}], more=False)),
    (list[Any | None], [None, 1]),
]


def _idents(cases: Sequence[tuple[Any, ...]]) -> list[str]:
    """One name a case, the same in every process (values may show addresses)."""
    return [f"{at}-{str(case[0])[:50]}" for at, case in enumerate(cases)]


@pytest.mark.parametrize(("annotation", "value"), ROUND_TRIPS, ids=_idents(ROUND_TRIPS))
def test_a_value_comes_back_equal_and_of_its_type(annotation: Any, value: Any) -> None:
    """What a load returned is what readers get, from bytes and from a view of a larger blob alike."""
    codec = Codec(annotation, "q")
    flags, payload = codec.encode(value)
    blob = b"header" + payload
    for stored in (payload, bytearray(payload), memoryview(blob)[6:]):
        back = codec.decode(flags, stored)
        assert back == value
        assert type(back) is type(value)


@pytest.mark.parametrize(("annotation", "value"), ROUND_TRIPS, ids=_idents(ROUND_TRIPS))
def test_a_compressed_value_comes_back_equal(annotation: Any, value: Any) -> None:
    """Whether a payload is compressed is nobody's business but the flag's."""
    codec = Codec(list[annotation], "q", compress_over_bytes=0)
    flags, payload = codec.encode([value] * 100)
    assert flags == COMPRESSED | DIGESTED
    assert codec.decode(flags, payload) == [value] * 100


def test_the_sign_of_zero_and_the_scale_of_a_decimal_are_kept() -> None:
    """Equal is not enough where a page would show the difference."""
    codec = Codec(tuple[float, Decimal, Decimal], "q")
    back = codec.decode(*codec.encode((-0.0, Decimal("1.50"), Decimal("-0"))))
    assert [str(part) for part in back] == ["-0.0", "1.50", "-0"]


def test_a_float_that_is_not_a_number_is_a_value() -> None:
    """NaN comes back as NaN, also where it makes a record unequal to itself."""
    codec = Codec(Identity, "q")
    assert str(codec.decode(*codec.encode(Identity(float("nan")))).n) == "nan"


def test_an_aware_datetime_comes_back_as_the_same_instant_in_utc() -> None:
    """The zone is not kept: an offset is what SQL databases give, too."""
    codec = Codec(datetime, "q")
    back = codec.decode(*codec.encode(datetime(2013, 1, 1, 5, tzinfo=PLUS_5)))
    assert back == datetime(2013, 1, 1, tzinfo=UTC)
    assert back.utcoffset() == timedelta(0)


def test_an_ambiguous_hour_keeps_its_instant() -> None:
    """The second 01:30 of the night when clocks go back is not taken for the first."""
    codec = Codec(datetime, "q")
    second = datetime(2013, 11, 3, 1, 30, fold=1, tzinfo=NEW_YORK)
    assert codec.decode(*codec.encode(second)).timestamp() == second.timestamp()


def test_an_int_may_stand_for_a_float() -> None:
    """SUM() of nothing is the int 0; readers get a float that equals it."""
    codec = Codec(list[float], "q")
    back = codec.decode(*codec.encode([0, 1.5, 2**53]))
    assert [type(part) for part in back] == [float, float, float]
    assert back == [0, 1.5, 2**53]


def test_a_drivers_own_uuid_comes_back_as_a_uuid() -> None:
    """Drivers return subclasses of UUID; they equal what comes back."""

    class DriverUUID(uuid.UUID):
        pass

    codec = Codec(list[uuid.UUID | None], "q")
    assert codec.decode(*codec.encode([DriverUUID(int=1), None])) == [uuid.UUID(int=1), None]


def test_none_is_a_value() -> None:
    """No row found is a result like any other."""
    codec = Codec(Delay | None, "q")
    flags, payload = codec.encode(None)
    assert codec.decode(flags, payload) is None


def test_a_records_own_members_beside_its_fields_are_not_stored() -> None:
    """Only what is annotated travels; an attribute hung on a dataclass stays behind."""
    codec = Codec(Delay, "q")
    marked = dataclasses.replace(DELAY)
    marked.__dict__["extra"] = object()
    assert vars(codec.decode(*codec.encode(marked))) == vars(DELAY)


# Values of the wrong type are made through Any, as an untyped driver makes them.
delay: Any = Delay


class Sub(Delay):
    pass


Loose = namedtuple("Loose", "at wind")

#: annotation, a value that msgspec would store in silence or refuse without a place, what the error says
MISFITS: list[tuple[Any, Any, str]] = [
    (
        list[Delay],
        [Twin("UA", Decimal(1), date(2013, 1, 1))],
        "an item of the value should be Delay, got Twin",
    ),
    (list[Delay], [Sub("UA", Decimal(1), date(2013, 1, 1))], "an item of the value should be Delay, got Sub"),
    (list[Delay], [dataclasses.asdict(DELAY)], "an item of the value should be Delay, got dict"),
    (list[Delay], [("UA", Decimal(1), date(2013, 1, 1))], "an item of the value should be Delay, got tuple"),
    (list[Delay], (DELAY,), "the value should be list, got tuple"),
    (list[Delay], DELAY, "the value should be list, got Delay"),
    (list[Delay], None, "the value should be list, got None (annotate `list | None` if it may be absent)"),
    (list[Delay], [delay("UA", "1.50", date.min)], "Delay.mean should be Decimal, got str"),
    (list[Delay], [delay("UA", 1.5, date.min)], "Delay.mean should be Decimal, got float"),
    (list[Delay], [DELAY, dataclasses.replace(DELAY, day=datetime(2013, 1, 1))], "got datetime in 1 of 2"),
    (list[Delay], [delay("UA", Decimal(1), date.min, 5)], "Delay.note should be str | None, got int"),
    (dict[str, date], {"a": "2013-01-01"}, "a value of the value should be date, got str"),
    (dict[int, int], {"1": 1}, "a key of the value should be int, got str"),
    (dict[str, int], defaultdict(int, a=1), "the value should be dict, got defaultdict"),
    (dict[str, int], OrderedDict(a=1), "the value should be dict, got OrderedDict"),
    (dict[str, int], Counter("a"), "the value should be dict, got Counter"),
    (tuple[int, int], (1, 2, 3), "the value should be a tuple of 2, got one of 3"),
    (tuple[int, int], [1, 2], "the value should be tuple, got list"),
    (tuple[int, str], (1, 2), "item 1 of the value should be str, got int"),
    (set[int], frozenset({1}), "the value should be set, got frozenset"),
    (set[int], [1], "the value should be set, got list"),
    (Sequence[int], (1,), "the value should be list, got tuple"),
    (list[int], [True], "should be int, got bool"),
    (list[int], [Rank.LOW], "should be int, got Rank"),
    (list[int], [1.0], "should be int, got float"),
    (list[float], [True], "should be float, got bool"),
    (list[float], [Decimal(1)], "should be float, got Decimal"),
    (list[float], [2**53 + 1], "an int over 2**53, which a float would change"),
    (list[str], [Carrier.UA], "should be str, got Carrier"),
    (list[Carrier], ["UA"], "should be Carrier, got str"),
    (list[uuid.UUID], [str(uuid.UUID(int=1))], "should be UUID, got str"),
    (Literal["a", 1], "b", "should be a value of its Literal, got another int, str"),
    (Literal["a", 1], True, "should be a value of its Literal, got bool"),
    (int | str, 1.5, "the value should be int | str, got float"),
    (float | None, "1", "the value should be float | None, got str"),
    (Weather, (datetime(2013, 1, 1), 1.0), "the value should be Weather, got tuple"),
    (Weather, Loose(datetime(2013, 1, 1), 1.0), "the value should be Weather, got Loose"),
    (Weather, Weather(datetime(2013, 1, 1), "1.0"), "Weather.wind should be float, got str"),  # type: ignore[arg-type]
    (Board, {"day": date(2013, 1, 1)}, "the value lacks rows of Board"),
    (Board, {"day": date(2013, 1, 1), "rows": [], "x": 1}, "the value has x, which Board has not"),
    (Board, {"day": "2013-01-01", "rows": []}, "Board['day'] should be date, got str"),
    (Plane, Plane("N1", "1999"), "Plane.built should be int | None, got str"),  # type: ignore[arg-type]
    (Plane, {"tail": "N1"}, "the value should be Plane, got dict"),
    (list[Late | Gone], [Plane("N1")], "should be Late | Gone, got Plane"),
    (time, time(1, tzinfo=timezone(timedelta(seconds=30))), "offset of whole minutes"),
    (time, time(1, tzinfo=NEW_YORK), "offset of whole minutes"),
    (list[int], (n for n in range(3)), "got generator (it can be consumed only once: return a list of it)"),
    (list[int], range(3), "the value should be list, got range"),
    (list[int], [2**64], "a larger int fits in a Decimal or a str"),
    (list[str], ["\ud800"], "surrogates not allowed"),
    (datetime, datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))), "out of range"),
    (dict[str, Any], {"a": Decimal(1)}, "a plain value (None, bool, int, float, str, bytes, list or dict)"),
    (dict[str, Any], {"a": [DELAY]}, "as Any stands for these only, got Delay"),
    (dict[str, Any], {"a": {(1, 2): 3}}, "a key in a value of the value should be str or int, got tuple"),
    (list[Any], [(1, 2)], "got tuple"),
    (list[object], [Carrier.UA], "got Carrier"),
    (list[Any | None], [{1}], "got set"),
    (Positive, Positive(0), "it can't be read back: Expected `int` >= 1"),
    (Growing, Growing(1), "its __post_init__ changes it once more"),
    (list[Identity], [object.__new__(Identity)], "Identity.n has no value"),
]


@pytest.mark.parametrize(("annotation", "value", "says"), MISFITS, ids=_idents(MISFITS))
def test_a_value_of_another_shape_is_refused_where_it_is_loaded(
    annotation: Any, value: Any, says: str
) -> None:
    """What would come back as something else is an error of the load, naming the place and the types."""
    with pytest.raises(ResultNotStorable) as caught:
        Codec(annotation, "tasks.delays").encode(value)
    assert says in str(caught.value)
    assert caught.value.query == "tasks.delays"


def test_a_checked_value_that_turned_bad_is_refused() -> None:
    """A record that its own __post_init__ would not let back in is not stored."""
    turned = Checked(1)
    turned.n = -1
    with pytest.raises(ResultNotStorable, match="can't be read back: n is below 0"):
        Codec(Checked, "q").encode(turned)


def test_an_error_shows_types_and_never_values() -> None:
    """A result may be private; the place and the type are enough to find the fault."""
    with pytest.raises(ResultNotStorable) as caught:
        Codec(list[Delay], "q").encode([dataclasses.replace(DELAY, mean="secret-4711")])  # type: ignore[arg-type]
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("deep", ["list", "tree", "itself"])
def test_a_value_nested_without_end_is_refused(deep: str) -> None:
    """A cycle, or nesting deeper than the interpreter's limit, is an error that says so."""
    plain: list[Any] = []
    tree = Tree("root")
    for _ in range(100_000):
        plain, tree = [plain], Tree("x", [], tree)
    itself: list[Any] = []
    itself.extend([itself, itself])
    value, annotation = {"list": (plain, list[Any]), "tree": (tree, Tree), "itself": (itself, list[Any])}[
        deep
    ]
    try:
        with pytest.raises(ResultNotStorable, match="nested too deeply, or contains itself"):
            Codec(annotation, "q").encode(value)
    finally:
        # Taken apart by hand: freeing 100,000 levels at once would need as many levels of C stack.
        while tree.left is not None:
            tree, tree.left = tree.left, None
        while plain:
            plain = plain.pop()
        itself.clear()


def test_a_value_over_the_limit_is_refused_with_both_sizes() -> None:
    """The limit is on the encoded value before compression: what a reader has to decode at most."""
    codec = Codec(str, "tasks.big", limit_bytes=1_000)
    assert codec.decode(*codec.encode("x" * 997)) == "x" * 997
    with pytest.raises(ResultTooLarge) as caught:
        codec.encode("x" * 998)
    assert caught.value.args == ("tasks.big", 1_001, 1_000)


def test_only_what_is_longer_than_the_bound_and_shrinks_is_compressed() -> None:
    """Short values are read without decompressing, random ones stay as they are."""
    codec = Codec(bytes, "q", compress_over_bytes=100)
    assert codec.encode(b"x" * 98)[0] == DIGESTED
    flags, payload = codec.encode(b"x" * 99)
    assert flags == COMPRESSED | DIGESTED
    assert len(payload) < 40
    noise = bytes(pow(7, n, 257) % 256 for n in range(128))
    flags, payload = codec.encode(noise)
    assert flags == DIGESTED
    assert len(payload) == CHECKSUM_SIZE + DIGEST_SIZE + 2 + len(noise)


def test_one_codec_serves_many_threads() -> None:
    """Encoding and decoding from eight threads at once mixes nothing up."""
    codec = Codec(list[Delay], "q", compress_over_bytes=1_000)
    wrong: list[object] = []

    def work(seed: int) -> None:
        for turn in range(200):
            rows = [dataclasses.replace(DELAY, carrier=f"{seed}-{turn}-{n}") for n in range(turn % 40)]
            if codec.decode(*codec.encode(rows)) != rows:
                wrong.append((seed, turn))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
