"""Near copies by themselves: their bounds, who makes room, and the turns that keep old replies out."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest

from warmer import Warmer
from warmer.core.header import DIGESTED, INVALIDATED, NAMED, OWNED, SEALED, UNCHANGED, Header
from warmer.errors import InvalidOption
from warmer.near.confirming import confirmed
from warmer.near.copies import Copies, Copy
from warmer.near.weight import weigh
from warmer.options import Options

OPTIONS = Options(60, 60)
TIMES = (0, b"lifelife", 1.0, 2.0, 3.0, 4.0, 5.0)


def _copy(name: str, weight: int = 1) -> Copy:
    return Copy(name.encode(), name, b"", bytes, TIMES, b"", OPTIONS, weight, 1e9, 1e9)


def _copies(most_bytes: int, most_entries: int, told: dict[bytes, int] | None = None) -> Copies:
    def tell(copy: Copy) -> None:
        if told is not None:
            told[copy.key] = told.get(copy.key, 0) + copy.reads - copy.told
        copy.told = copy.reads

    return Copies(most_bytes, most_entries, tell)


def _put(copies: Copies, name: str, weight: int = 1) -> bool:
    return copies.put(_copy(name, weight), copies.turn(name.encode()))


def _names(copies: Copies) -> str:
    return "".join(sorted(key.decode() for key in copies.by_key))


def test_there_are_never_more_copies_than_the_bound() -> None:
    """Where nothing was read again, the oldest goes first."""
    copies = _copies(1000, 3)

    for name in "abcde":
        assert _put(copies, name)

    assert (_names(copies), copies.weight, copies.evicted) == ("cde", 3, 2)


def test_there_are_never_more_bytes_than_the_bound() -> None:
    """As many go as a large one needs; what is larger than all together is not kept at all."""
    copies = _copies(100, 1000)
    for name in "abcd":
        _put(copies, name, 25)

    assert _put(copies, "e", 50)
    assert (_names(copies), copies.weight) == ("cde", 100)
    assert not _put(copies, "f", 101)
    assert _names(copies) == "cde"


def test_what_is_read_again_outlives_what_is_not() -> None:
    """A thousand entries that are read once push out none of the three that are read all the time."""
    copies = _copies(1000, 10)
    for name in "abc":
        _put(copies, name)

    for number in range(1000):
        for name in "abc":
            copies.by_key[name.encode()].reads += 1
        _put(copies, str(number))

    assert {b"a", b"b", b"c"} <= copies.by_key.keys()


def test_every_read_is_told_once() -> None:
    """While a copy is there, when it makes room, when it is dropped, and when all are."""
    told: dict[bytes, int] = {}
    copies = _copies(1000, 3, told)
    for name in "abcd":
        _put(copies, name)
        copies.by_key[name.encode()].reads += 2
    assert told == {b"a": 2}
    copies.tell_reads()
    copies.by_key[b"c"].reads += 1
    copies.drop([b"b"])
    copies.clear()

    assert told == {b"a": 2, b"b": 2, b"c": 3, b"d": 2}


def test_a_copy_that_takes_the_place_of_another_counts_once() -> None:
    """The same entry read anew: its older copy goes."""
    copies = _copies(1000, 10)
    _put(copies, "a", 30)

    _put(copies, "a", 40)

    assert (len(copies.by_key), copies.weight, copies.evicted) == (1, 40, 0)


def test_a_reply_from_before_a_message_is_not_taken_in() -> None:
    """A key that has had a message since its GET was sent, whether a copy was there or not."""
    copies = _copies(1000, 10)
    turn = copies.turn(b"a")
    copies.drop([b"a"])

    assert not copies.put(_copy("a"), turn)
    assert _put(copies, "a")

    for drop in (copies.clear, lambda: copies.drop_under((b"a", b"x"))):
        turn = copies.turn(b"a")
        drop()
        assert not copies.put(_copy("a"), turn)
        assert copies.by_key == {}


def test_only_what_is_under_a_stem_is_dropped_with_it() -> None:
    """The copies of one query go, those of others stay."""
    copies = _copies(1000, 10)
    for name in ("q@1:a", "q@1:b", "r@1:a"):
        _put(copies, name)

    assert copies.drop_under((b"q@1:",)) == 2
    assert _names(copies) == "r@1:a"


def test_what_is_dear_to_read_anew_is_set_apart_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a message it is served no more, and known; what is not dear goes; both have a new turn."""
    monkeypatch.setattr("warmer.near.copies.DEAR_BYTES", 30)
    told: dict[bytes, int] = {}
    copies = _copies(100, 10, told)
    _put(copies, "a", 40)
    _put(copies, "b", 20)
    copies.by_key[b"a"].reads = 3
    turns = copies.turn(b"a"), copies.turn(b"b")

    assert copies.set_apart([b"a", b"b", b"c"]) == 2

    assert (copies.by_key, copies.weight, copies.known(b"b")) == ({}, 40, None)
    assert copies.known(b"a") is copies.apart[b"a"]
    assert (copies.turn(b"a"), copies.turn(b"b")) != turns
    assert copies.set_apart([b"a"]) == 0
    assert not copies.put(_copy("a", 40), turns[0])
    assert _put(copies, "a", 40)
    assert (copies.apart, copies.weight, told) == ({}, 40, {b"a": 3})
    assert _put(copies, "d", 70)
    assert _names(copies) == "d"


@pytest.mark.parametrize("how", ["drop", "drop_under", "clear"])
def test_what_is_set_apart_goes_with_the_rest(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what this process invalidates by key or query, and with all when the connection is lost."""
    monkeypatch.setattr("warmer.near.copies.DEAR_BYTES", 1)
    copies = _copies(100, 10)
    _put(copies, "a")
    copies.set_apart([b"a"])

    gone: dict[str, Callable[[], object]] = {
        "drop": lambda: copies.drop([b"a"]),
        "drop_under": lambda: copies.drop_under((b"a",)),
        "clear": copies.clear,
    }
    assert not gone[how]()
    assert (copies.apart, copies.known(b"a"), copies.weight) == ({}, None, 0)


HEADER = Header(DIGESTED | OWNED | NAMED, b"lifelife", 50, 60, 1000, 2000, 900, 7)
PAYLOAD = b"sum!" + b"digest78" + b"owner678" + b"\1\0\0\0\x90"


@pytest.mark.parametrize(
    ("header", "payload"),
    [
        ({"life": b"earlier1"}, PAYLOAD),
        ({}, PAYLOAD[:12] + b"another1" + PAYLOAD[20:]),
        ({"flags": HEADER.flags | INVALIDATED}, PAYLOAD),
        ({"flags": HEADER.flags | SEALED}, PAYLOAD),
        ({"flags": HEADER.flags & ~NAMED}, PAYLOAD),
        ({"flags": HEADER.flags & ~OWNED}, PAYLOAD),
        ({"fresh_until": 300.0}, PAYLOAD),
        ({"grace_until": 300.0}, PAYLOAD),
        ({"fresh_until": math.nan}, PAYLOAD),
        ({"stamp": 0.0}, PAYLOAD),
        ({}, b"Sum!" + PAYLOAD[4:]),
        ({}, PAYLOAD[:4] + b"another8" + PAYLOAD[12:]),
        ({}, PAYLOAD[:-1] + b"\x91"),
        ({}, PAYLOAD[:-1]),
    ],
)
def test_a_copy_is_confirmed_by_the_very_same_value_only(header: dict[str, Any], payload: bytes) -> None:
    """Not by another life, owner, layout, digest, checksum or name, nor by what is not fresh."""
    front = HEADER.pack() + PAYLOAD
    copy = Copy(b"k", 1, None, bytes, HEADER.times(), front, OPTIONS, 1, 1.0, 1.0)

    assert confirmed(copy, replace(HEADER, **header).pack() + payload, b"lifelife", 300.0) is None
    assert confirmed(copy, front, b"lifelife", 300.0) == HEADER.times()
    assert confirmed(copy, front, b"another1", 300.0) is None


def test_new_times_and_the_flag_of_an_unchanged_result_do_not_matter() -> None:
    """An unchanged refresh changes these; so does one of what had been invalidated."""
    marked = replace(HEADER, flags=HEADER.flags | INVALIDATED, fresh_until=0.0)
    copy = Copy(b"k", 1, None, bytes, marked.times(), marked.pack() + PAYLOAD, OPTIONS, 1, 1.0, 1.0)
    now = replace(HEADER, flags=HEADER.flags | UNCHANGED, stamp=90, stored_at=95, cost_us=3)

    assert confirmed(copy, now.pack() + PAYLOAD, b"lifelife", 300.0) == now.times()


def test_what_has_no_digest_is_never_confirmed() -> None:
    """A checksum alone is no proof."""
    plain = replace(HEADER, flags=0)
    copy = Copy(b"k", 1, None, bytes, plain.times(), plain.pack() + b"sum!", OPTIONS, 1, 1.0, 1.0)

    assert confirmed(copy, plain.pack() + b"sum!", b"lifelife", 300.0) is None


def test_the_list_holds_over_any_order_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """After any puts, drops and reads, the list from the oldest to the newest is what is there."""
    monkeypatch.setattr("warmer.near.copies.DEAR_BYTES", 8)
    dice, copies = random.Random(5), _copies(60, 12)
    for _ in range(5000):
        name = dice.choice("abcdefghijklmnopqrstuvwxyz")
        step = dice.random()
        if step < 0.6:
            _put(copies, name, dice.randrange(1, 20))
        elif step < 0.75:
            (copies.drop if dice.random() < 0.3 else copies.set_apart)([name.encode()])
        elif name.encode() in copies.by_key:
            copies.by_key[name.encode()].reads += 1
        if step > 0.999:
            copies.clear()
        listed, at = [], copies._oldest
        while at is not None:
            listed.append(at)
            assert at.newer is None or at.newer.older is at
            at = at.newer
        assert {copy.key: copy for copy in listed} == copies.by_key | copies.apart
        assert not copies.by_key.keys() & copies.apart.keys()
        assert copies._newest is (listed[-1] if listed else None)
        assert copies._hand is None or copies._hand in listed
        assert copies.weight == sum(copy.weight for copy in listed) <= 60
        assert len(listed) <= 12


@dataclass(frozen=True)
class Row:
    number: int
    name: str
    price: Decimal


def test_values_weigh_about_what_they_take() -> None:
    """A part of a long value stands for all of it, and every level counts."""
    rows = tuple(Row(n + 1000, f"name {n}", Decimal(n)) for n in range(5000))

    by_one = sum(weigh(row) for row in rows)

    assert 0.9 * by_one < weigh(rows) < 1.2 * by_one
    assert weigh((rows, rows)) > 1.8 * weigh(rows)
    assert weigh(None) == weigh(True) == 0
    assert weigh("a" * 1000) > 1000
    assert weigh(frozenset(range(1000, 2000))) > 28_000


@pytest.mark.parametrize("option", [{"consistency": "strict"}, {"sensitive": True}])
def test_what_must_never_be_old_or_leave_a_trace_is_not_kept_near(option: dict[str, object]) -> None:
    """A strict or sensitive query with near= is an error where it is declared."""
    flights = Warmer("flights", redis_url="redis://127.0.0.1:1/0")

    def query(n: int) -> int:
        return n

    with pytest.raises(InvalidOption, match="near"):
        flights.cached(ttl=60, name="q", near=1, **option)(query)  # type: ignore[call-overload]
    assert flights.queries == {}
