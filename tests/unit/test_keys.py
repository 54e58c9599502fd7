"""Keys of entries: how a call binds, and what its key looks like."""

from __future__ import annotations

import datetime as dt
import re
import sys
from collections.abc import Callable
from decimal import Decimal
from uuid import UUID

import pytest

from tests.unit.keyed import DAY, Airline, Loud, Spot, board, everything, factory, near
from warmer.core.keys import EntryKey, KeyFactory, digest, keyspace, parse
from warmer.errors import ParamError, WrongArguments


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


def test_a_query_of_positional_params_alone_has_keys() -> None:
    """`/` may end a signature, with defaults before it."""

    def query(a: int, b: int = 2, /) -> None: ...

    assert factory(query).key_of(1) == (b"w:{flights:0}:e:query@7:1,2", (1, 2))
    with pytest.raises(WrongArguments):
        factory(query).key_of(1, b=2)


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


def test_shards_are_spread_and_stable() -> None:
    """The shard is the same in every process: a change of how it is chosen strands all entries."""
    keys = factory(shards=64)
    assert [keys.entry("UA", month).shard for month in (1, 2, 3)] == [52, 14, 24]
    counts = [0] * 64
    for number in range(6400):
        counts[keys.entry("UA", number).shard] += 1
    assert min(counts) > 50
    assert max(counts) < 150


def test_keys_of_one_shard_share_a_hash_tag() -> None:
    """On a cluster an entry is in the slot of its shard's other keys."""
    entry = factory(shards=8).entry("{other}", 3)
    assert entry.key.startswith(keyspace("flights", entry.shard).root)
    assert re.findall(r"\{(.*?)\}", entry.key) == [f"flights:{entry.shard}"]
