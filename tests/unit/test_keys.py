"""Keys of entries: how a call binds, what its key looks like, how it reads back, how mistakes are told."""

from __future__ import annotations

import datetime as dt
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import pytest

from warmer.core.keys import EntryKey, KeyFactory, digest, keyspace, parse
from warmer.core.signature import read_params
from warmer.errors import InvalidOption, KeyDigested, NotAKey, ParamError, UnknownParam, WrongArguments

DAY = dt.date(2026, 11, 22)


class Airline(StrEnum):
    UNITED = "UA"


class Loud(str):
    """A text that would write itself in another way."""

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        return self.upper() + "!"

    def isalnum(self) -> bool:
        return True


@dataclass(frozen=True)
class Spot:
    x: float
    label: str = ""


def delays(carrier: str, month: int = 3) -> None:
    """A query."""


def board(day: dt.date, /, airport: str | None = None, *, late: bool = False) -> None:
    """A query with params of every kind."""


def everything() -> None:
    """A query without params."""


def near(spot: Spot, price: Decimal, id: UUID) -> None:
    """A query whose params can't be inlined."""


def factory(
    fn: Callable[..., object] = delays,
    *,
    namespace: str = "flights",
    shards: int = 1,
    query: str = "",
    version: str = "7",
) -> KeyFactory:
    """The factory of a function's query."""
    params = read_params(fn, query or fn.__name__)
    return KeyFactory(namespace, shards, query or fn.__name__, version, params.signature, params.types)


def test_a_key_holds_namespace_shard_query_version_and_params() -> None:
    """The format that every process, script and operator relies on."""
    assert factory().key_of("UA", 3) == (b"w:{flights:0}:e:delays@7:UA,3", ("UA", 3))
    assert factory(everything).key_of() == (b"w:{flights:0}:e:everything@7:", ())
    assert factory(board).entry(DAY) == EntryKey(
        shard=0,
        member="board@7:2026-11-22,~,false",
        params="2026-11-22,~,false",
        key="w:{flights:0}:e:board@7:2026-11-22,~,false",
        query="board",
        version="7",
    )


def test_odd_names_are_escaped() -> None:
    """Neither a namespace nor a query's name nor its version can imitate structure."""
    keys = factory(namespace="a:{b}", query="m.<locals>.é", version="1@2,3")
    entry = keys.entry("UA", 3)
    assert entry.key == "w:{a%3A%7Bb%7D:0}:e:m.%3Clocals%3E.%C3%A9@1%402%2C3:UA,3"
    assert parse(entry.key) == ("m.<locals>.é", "1@2,3", "UA,3")
    assert keys.from_member(entry.member) == entry


@pytest.mark.parametrize(
    "call",
    [
        lambda keys: keys.key_of("UA", 3),
        lambda keys: keys.key_of("UA"),
        lambda keys: keys.key_of("UA", month=3),
        lambda keys: keys.key_of(month=3, carrier="UA"),
        lambda keys: keys.key_of(carrier="UA"),
        lambda keys: keys.key_of(Airline.UNITED, 3),
        lambda keys: keys.key_from(("UA",), {"month": 3}),
        lambda keys: keys.key_from((), {"carrier": "UA"}),
    ],
)
def test_one_call_has_one_key_however_it_is_written(call: Callable[[KeyFactory], object]) -> None:
    """Positional, keyword and default arguments bind as they do in Python."""
    assert call(factory()) == (b"w:{flights:0}:e:delays@7:UA,3", ("UA", 3))


def test_the_inlined_path_does_not_trust_a_subclass() -> None:
    """A str that formats itself in another way is the plain text that it holds; a datetime is no date."""
    key, args = factory().key_of(Loud("ua"), 3)
    assert key.endswith(b":ua,3")
    assert type(args[0]) is str
    with pytest.raises(ParamError, match="expected day to be date"):
        factory(board).key_of(dt.datetime(2026, 11, 22))


@pytest.mark.parametrize(
    ("value", "token"),
    [
        ("ABCxyz019", "ABCxyz019"),
        ("a-b_c.d", "a-b_c.d"),
        ("", ""),
        ("a,b", "a%2Cb"),
        ("~", "%7E"),
        ("é", "%C3%A9"),
        ("٣", "%D9%A3"),
        (None, "~"),
    ],
)
def test_texts_have_one_token_on_both_paths(value: str | None, token: str) -> None:
    """Texts of plain letters are inlined, and letters of other alphabets do not slip through with them."""

    def query(x: str | None, y: str = "") -> None: ...

    assert factory(query).key_of(value)[0].endswith(f":{token},".encode())


@pytest.mark.parametrize(
    ("value", "token"),
    [
        (0.0001, "0.0001"),
        (0.00009, "9e-05"),
        (-0.0, "0.0"),
        (0, "0.0"),
        (999999999999999.9, "999999999999999.9"),
        (1e15, "1000000000000000.0"),
        (1e16, "1e16"),
        (-1e16, "-1e16"),
        (-0.0001, "-0.0001"),
        (float("inf"), "inf"),
    ],
)
def test_floats_have_one_text_on_both_paths(value: float, token: str) -> None:
    """Inside and outside the bounds that the compiled builder inlines, a float is written alike."""

    def query(x: float) -> None: ...

    assert factory(query).key_of(value)[0].endswith(f":{token}".encode())


@pytest.mark.parametrize("digits", [1, 300, 308, 309, 4300, 4301, 20_000])
def test_ints_of_any_length_have_a_key(digits: int) -> None:
    """Neither the length of a key nor Python's limit on digits gets in the way of a huge int."""

    def query(x: int) -> None: ...

    keys = factory(query)
    for value in (10**digits, -(10**digits), 10**digits + 1):
        key, args = keys.key_of(value)
        entry = keys.entry(value)
        assert key == entry.key.encode()
        assert len(key) <= 250
        assert args == (value,)
        assert keys.params_of(entry.params) == {"x": value}


def test_a_low_limit_on_digits_changes_no_key() -> None:
    """A process with another sys.set_int_max_str_digits finds the same entries."""

    def query(x: int) -> None: ...

    usual = factory(query).key_of(10**1000)
    before = sys.get_int_max_str_digits()
    try:
        for limit in (640, 0):
            sys.set_int_max_str_digits(limit)
            assert factory(query).key_of(10**1000) == usual
    finally:
        sys.set_int_max_str_digits(before)


def test_params_of_any_type_share_the_compiled_builder() -> None:
    """What can't be inlined is written by its param type, beside what can."""
    key, args = factory(near).key_of(Spot(1), Decimal("1.50"), UUID(int=1))
    assert key == b"w:{flights:0}:e:near@7:(1.0;;),1.5,00000000-0000-0000-0000-000000000001"
    assert repr(args) == repr((Spot(1.0), Decimal("1.5"), UUID(int=1)))


# Mistakes in a call


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


def test_a_query_of_positional_params_alone_has_keys() -> None:
    """`/` may end a signature, with defaults before it."""

    def query(a: int, b: int = 2, /) -> None: ...

    assert factory(query).key_of(1) == (b"w:{flights:0}:e:query@7:1,2", (1, 2))
    with pytest.raises(WrongArguments):
        factory(query).key_of(1, b=2)


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


# From a key to params


def test_a_long_key_is_digested_and_its_params_kept_beside_it() -> None:
    """The digest stands for the params in the key; with them beside it, everything reads back."""
    keys = factory()
    entry = keys.entry("x" * 300, 3)
    assert entry.member == f"delays@7:{digest('x' * 300 + ',3')}"
    assert entry.digested
    assert entry.params == "x" * 300 + ",3"
    assert keys.key_of("x" * 300, 3)[0] == entry.key.encode()
    assert keys.from_member(entry.member, entry.params) == entry
    assert parse(entry.key, entry.params) == ("delays", "7", entry.params)
    assert not keys.entry("UA").digested


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


def test_a_key_is_digested_exactly_from_the_length_on_that_leaves_room_for_any_version() -> None:
    """Whether a key is digested does not depend on the version: old and new processes agree on it."""
    short, long = factory(version="7"), factory(version="v" * 32)
    room = 250 - len("w:{flights:0}:e:delays@:") - 32
    for length in (room - 2, room - 1):
        value = "x" * length  # and ",3"
        assert short.entry(value).digested == long.entry(value).digested == (length + len(",3") > room)
        assert short.key_of(value)[0] == short.entry(value).key.encode()
    assert len(long.key_of("x" * (room - 2))[0]) == 250


def test_sharded_and_single_keys_are_digested_alike() -> None:
    """The compiled builder for many shards measures what it writes as the one for a single shard does."""

    def query(a: str, b: int) -> None: ...

    for shards in (1, 2, 10, 64):
        keys = factory(query, shards=shards)
        for length in range(150, 230):
            key, _ = keys.key_of("x" * length, 3)
            assert key == keys.entry("x" * length, 3).key.encode()
            assert len(key) <= 250


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


# Parts of params


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


# Shards


def test_shards_are_spread_and_stable() -> None:
    """The shard is the same in every process: a change of how it is chosen strands all entries."""
    keys = factory(shards=64)
    assert [keys.entry("UA", month).shard for month in (1, 2, 3)] == [52, 14, 24]
    counts = [0] * 64
    for number in range(6400):
        counts[keys.entry("UA", number).shard] += 1
    assert min(counts) > 50
    assert max(counts) < 150


# Names that leave no room


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


def test_keys_of_one_shard_share_a_hash_tag() -> None:
    """On a cluster an entry is in the slot of its shard's other keys."""
    entry = factory(shards=8).entry("{other}", 3)
    assert entry.key.startswith(keyspace("flights", entry.shard).root)
    assert re.findall(r"\{(.*?)\}", entry.key) == [f"flights:{entry.shard}"]
