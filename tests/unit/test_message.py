"""What messages say, how they are read, and how a call is shown to whoever watches the workers."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.seal_keys import KEY
from warmer import Query, Warmer
from warmer.errors import KeyDigested, NotAKey, NotAMessage
from warmer.store.operations import Claim
from warmer.worker.message import VERSION, Message, shown_call

NOW = 1_795_310_973_852_145


@pytest.fixture
def flights() -> Warmer:
    """A namespace that is never connected."""
    return Warmer("flights", redis_url="redis://127.0.0.1:1/0")


@pytest.fixture
def boards(flights: Warmer) -> Query[[str, int], int]:
    """A query with an ordinary name and two params."""

    @flights.cached(ttl=60, name="tasks.boards.departures", version="7")
    def departures(origin: str, month: int) -> int:
        return month

    return departures


def claim_of(query: Query[Any, Any], *args: Any) -> Claim:
    """A claim as a scheduler gets it: tokens only where the member has a digest of them."""
    entry = query.bind(*args).entry_key
    return Claim(entry.shard, entry.member, NOW, NOW - 5, entry.params if entry.digested else None, 1000)


def said(**changes: Any) -> dict[str, Any]:
    """A message that is in order, but for some changes."""
    message = {
        "v": 1, "member": "q@1:JFK", "params": "JFK", "shard": 0, "claim": NOW, "due": NOW - 5, "sent": NOW,
    }  # fmt: skip
    return message | changes


def test_a_message_survives_json(boards: Query[[str, int], int]) -> None:
    """What is read from the JSON text of a message equals the message, stamps to the microsecond."""
    message = Message.of(claim_of(boards, "JFK", 3), NOW + 0.7)

    read = Message.read("t", json.loads(json.dumps(message.plain())))

    assert read == message
    assert message.plain() == {
        "v": VERSION, "member": "tasks.boards.departures@7:JFK,3", "params": "JFK,3", "shard": 0,
        "claim": NOW, "due": NOW - 5, "sent": NOW,
    }  # fmt: skip


def test_a_message_holds_all_params_where_the_key_has_a_digest(boards: Query[[str, int], int]) -> None:
    """A long key's message leads back to the params without any other record."""
    long = "x" * 400
    message = Message.of(claim_of(boards, long, 3), NOW)

    assert "#" in message.member
    assert boards._reading.keys.params_of(message.params) == {"origin": long, "month": 3}


def test_a_digest_without_its_params_makes_no_message(boards: Query[[str, int], int]) -> None:
    """A claim whose params are lost is refused, rather than sent to a worker that could not read it."""
    claim = claim_of(boards, "x" * 400, 3)
    lost = Claim(claim.shard, claim.member, claim.stamp, claim.due_at, None, 0)

    with pytest.raises(KeyDigested):
        Message.of(lost, NOW)


def test_a_member_that_is_none_makes_no_message() -> None:
    """A text that is no member is refused where the message is made."""
    with pytest.raises(NotAKey):
        Message.of(Claim(0, "no member", NOW, NOW, None, 0), NOW)


@pytest.mark.parametrize(
    "nonsense",
    [
        None, "JFK", 3, [], {}, {"v": 1}, said(v=0), said(v="1"), said(v=True), said(v=1.0),
        said(member=None), said(member=["q"]), said(params=None), said(shard=-1), said(shard="0"),
        said(claim=str(NOW)), said(claim=float(NOW)), said(claim=2**53), said(due=-1), said(sent=None),
    ],
)  # fmt: skip
def test_what_is_no_message_is_refused(nonsense: object) -> None:
    """Anything but a message of ours is an error that names the task and what is wrong with it."""
    with pytest.raises(NotAMessage) as caught:
        Message.read("boards.departures", nonsense)

    assert caught.value.task == "boards.departures"
    assert "query.refresh" in str(caught.value)


def test_a_refusal_repeats_no_values() -> None:
    """The error about a message says where it is wrong, and not what it held."""
    with pytest.raises(NotAMessage) as caught:
        Message.read("q", said(claim="hunter2"))

    assert "$.claim" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("v", [VERSION + 1, 99])
def test_a_message_of_a_later_release_is_left_alone(v: int) -> None:
    """A message that says more than this release knows is told from one that is broken."""
    assert Message.read("q", {"v": v, "anything": "else"}) is None


def test_what_a_later_release_adds_is_passed_over() -> None:
    """A field that this release does not know takes nothing from those that it does."""
    assert Message.read("q", said(hint="x")) == Message.read("q", said())


def test_a_call_is_shown_as_it_is_written(boards: Query[[str, int], int]) -> None:
    """Whoever watches the workers reads the function's name and its arguments."""
    assert shown_call(boards._reading, boards.bind("JFK", 3).entry_key.params) == "departures(JFK, 3)"


@pytest.mark.parametrize(
    ("origin", "shown"),
    [
        ("New York", "departures(New York, 3)"),
        ("Zürich", "departures(Zürich, 3)"),
        ("a,b", "departures(a,b, 3)"),
        ("line\nbreak", "departures(line%0Abreak, 3)"),
        ("\ud800", "departures(%ED%A0%80, 3)"),
        ("x" * 500, f"departures({'x' * 160}...)"),
    ],
)
def test_odd_text_is_shown_on_one_line(boards: Query[[str, int], int], origin: str, shown: str) -> None:
    """Text is shown as it is; what would break a line or can't be printed stays escaped; the long is cut."""
    assert shown_call(boards._reading, boards.bind(origin, 3).entry_key.params) == shown


def test_private_params_are_not_shown() -> None:
    """The params of a query that is scoped or sensitive are masked."""
    flights = Warmer("watching", seal_key=KEY)

    @flights.cached(ttl=60, name="watching.watch_list", scope="user_id")
    def watch_list(user_id: int, page: int) -> int:
        return page

    @flights.cached(ttl=60, name="secret", sensitive=True)
    def secret(what: str) -> str:
        return what

    assert shown_call(watch_list._reading, "42,1") == "watch_list(***)"
    assert shown_call(secret._reading, "hunter2") == "secret(***)"


_FIRST_READERS = """
import importlib, sys, threading
from warmer.worker import message

sys.setswitchinterval(1e-6)
said = {"v": 1, "member": "q@v:1", "params": "1", "shard": 0, "claim": 1, "due": 1, "sent": 1}
for _ in range(150):
    importlib.reload(message)
    together = threading.Barrier(8)

    def read():
        together.wait()
        assert message.Message.read("q", said) is not None

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_threads_of_a_worker_may_read_its_first_messages_together() -> None:
    """Its process goes on: what reads them is ready before the first comes."""
    ran = subprocess.run([sys.executable, "-c", _FIRST_READERS], check=False, capture_output=True, text=True)

    assert (ran.returncode, ran.stderr) == (0, "")
