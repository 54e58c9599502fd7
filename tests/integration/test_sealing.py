"""Sealed entries on a real server: what is in it, what opens, what becomes of what does not."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from struct import pack
from typing import Any
from zlib import crc32

import pytest
import redis

from tests.board import Gate, value_of
from tests.near_board import keep_near
from tests.seal_keys import KEY, OTHER_KEY
from warmer import LoadFailed, Query, Warmer
from warmer.core.header import DIGESTED, HEADER_SIZE, NAMED, OWNED
from warmer.core.payload import CHECKSUM_SIZE, DIGEST_SIZE, OWNER_SIZE, owner_in
from warmer.errors import CacheMiss, IdentityRefused
from warmer.store.report import inspect_entry, query_status
from warmer.testing import wait_until
from warmer.verify.audit import Audit

MARKER = "plaintext-marker-4711"
Open = Callable[..., "Accounts"]


class Accounts:
    """A namespace with a private and a sensitive query; what they load is marked, and says who loaded it."""

    def __init__(self, namespace: str, redis_url: str, seal_key: Any, **options: Any) -> None:
        self.flights = Warmer(namespace, redis_url=redis_url, seal_key=seal_key)
        self.loads, self.gate, self.error = 0, Gate(), ""
        self.gate.open()

        def load(user_id: int) -> list[str]:
            self.loads += 1
            self.flights.tag(f"found:{user_id}")
            self.gate.pass_through()
            if self.error:
                raise ValueError(self.error)
            return [f"{MARKER} of {user_id}"]

        declared: dict[str, Any] = {"ttl": 60, "version": "1", "scope": "user_id", **options}
        self.orders: Query[[int], list[str]] = self.flights.cached(**declared, name="orders")(load)
        if seal_key is not None:
            declared |= {"sensitive": True, "near": 0}
            self.salary: Query[[int], list[str]] = self.flights.cached(**declared, name="salary")(load)

    def count(self, event: str) -> int:
        """How often something has happened in this process."""
        return self.flights.runtime().counts.snapshot().get(event, 0)


@pytest.fixture
def open_accounts(namespace: str, redis_url: str) -> Iterator[Open]:
    """Opens the namespace as another process would, with a key of its own."""
    opened: list[Accounts] = []

    def open_with(seal_key: Any = KEY, **options: Any) -> Accounts:
        opened.append(Accounts(namespace, redis_url, seal_key, **options))
        return opened[-1]

    yield open_with
    for one in opened:
        one.gate.open()
        one.flights.close()


@pytest.fixture
def accounts(open_accounts: Open) -> Accounts:
    """The namespace with its key."""
    return open_accounts()


@pytest.fixture
def server(redis_url: str) -> Iterator[redis.Redis]:
    """A client of somebody who can read and write Redis."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


def _blob(server: redis.Redis, key: str) -> bytes:
    """What is stored there."""
    blob = server.get(key)
    assert isinstance(blob, bytes)
    return blob


def _everything(server: redis.Redis) -> bytes:
    """The whole keyspace, names and values of every type."""
    reads: dict[Any, Callable[[Any], Any]] = {
        b"string": server.get,
        b"hash": server.hgetall,
        b"set": server.smembers,
        b"zset": lambda key: server.zrange(key, 0, -1, withscores=True),
        b"list": lambda key: server.lrange(key, 0, -1),
        b"none": lambda key: None,  # gone meanwhile
    }
    found = ((key, reads[server.type(key)](key)) for key in server.scan_iter())
    return repr(list(found)).encode()


@pytest.mark.parametrize("kind", ["orders", "salary"])
def test_nothing_of_a_private_value_is_in_redis(accounts: Accounts, server: redis.Redis, kind: str) -> None:
    """Neither stored, nor handed over, nor quoted by an error; a reader gets it all the same."""
    query: Query[[int], list[str]] = getattr(accounts, kind)

    assert query(1) == query(1) == [f"{MARKER} of 1"]
    assert accounts.loads == 1
    accounts.error = f"no row {MARKER}"
    with pytest.raises(LoadFailed, match=MARKER):
        query(2)

    everything = _everything(server)
    assert kind.encode() in everything
    assert b"failures" in everything
    assert b"plaintext" not in everything
    assert b"ValueError: ***" in everything


def test_the_marker_would_be_found(open_accounts: Open, server: redis.Redis) -> None:
    """Without a key, a private value is in Redis for who can read it: the test above can fail."""
    accounts = open_accounts(None)
    accounts.orders(1)

    assert MARKER.encode() in _everything(server)


def test_what_is_handed_over_is_sealed(
    open_accounts: Open, server: redis.Redis, start: Callable[..., Future[Any]]
) -> None:
    """A refused load's value waits in Redis for readers of other processes, sealed, and they open it."""
    one, other = open_accounts(), open_accounts()
    one.gate = Gate()
    second = start(other.salary.bind(1).get, miss="wait")
    wait_until(lambda: _waits(other), description="the other process to wait")
    first = start(one.salary, 1)
    one.gate.wait_entered()
    one.salary.invalidate(1)
    one.gate.open()

    assert value_of(first) == value_of(second) == [f"{MARKER} of 1"]
    assert (one.loads, other.loads) == (1, 0), "the other one was handed the value"
    assert b"plaintext" not in _everything(server)


def test_what_is_put_is_sealed(accounts: Accounts, server: redis.Redis) -> None:
    """A writer's value is a private one, too."""
    with accounts.salary.writing(1) as writing:
        writing.put([f"{MARKER}, put"])

    assert writing.stored
    assert b"plaintext" not in _everything(server)
    assert accounts.salary(1) == [f"{MARKER}, put"]
    assert accounts.loads == 0


def _waits(accounts: Accounts) -> bool:
    flights = list(accounts.flights.runtime()._flights.values())
    return any(reader.arrived is not None for flight in flights for reader in list(flight.readers))


def test_a_blob_moved_under_another_key_is_a_miss(accounts: Accounts, server: redis.Redis) -> None:
    """Whoever can write to Redis can't show one's value to another, nor another query's in its place."""
    accounts.orders(1)
    accounts.salary(1)
    accounts.orders(2)
    mine, other = accounts.orders.bind(1), accounts.orders.bind(2)
    theirs, stolen = _blob(server, other.key), _blob(server, mine.key)

    # With the owner that is checked on every read, so that only the seal is left to refuse it.
    flags = theirs[1]
    body = bytearray(stolen[HEADER_SIZE + CHECKSUM_SIZE :])
    body[DIGEST_SIZE : DIGEST_SIZE + OWNER_SIZE] = owner_in(flags, theirs)
    checksum = pack("<I", crc32(body, flags & (DIGESTED | OWNED | NAMED)))
    server.set(other.key, theirs[:HEADER_SIZE] + checksum + body)
    server.set(accounts.salary.bind(1).key, stolen)

    loads = accounts.loads
    assert accounts.orders(2) == [f"{MARKER} of 2"]
    assert accounts.salary(1) == [f"{MARKER} of 1"]
    assert (accounts.loads, accounts.count("unopened_entries")) == (loads + 2, 2)
    assert accounts.orders(2) == [f"{MARKER} of 2"]
    assert accounts.loads == loads + 2, "what was loaded has replaced it"


def test_a_changed_blob_is_a_miss_for_every_way_to_read(accounts: Accounts, server: redis.Redis) -> None:
    """No reader sees an error, whichever byte is changed, whatever the call."""
    one = accounts.orders.bind(1)
    accounts.orders(1)
    blob = _blob(server, one.key)
    for at in (HEADER_SIZE, HEADER_SIZE + 20, len(blob) - 40, len(blob) - 1):
        changed = bytearray(blob)
        changed[at] ^= 1
        server.set(one.key, bytes(changed))
        assert one.entry() is None
        with pytest.raises(CacheMiss):
            one.get(miss="raise")
    assert accounts.orders.get_many([(1,)]) == [[f"{MARKER} of 1"]]
    assert accounts.loads == 2


def test_a_value_that_is_not_sealed_is_a_miss(open_accounts: Open) -> None:
    """What was stored before there was a key, or was put there without one, is loaded anew, and sealed."""
    open_accounts(None).orders(1)
    accounts = open_accounts()

    assert accounts.orders.bind(1).entry() is None
    assert accounts.orders(1) == [f"{MARKER} of 1"]
    assert accounts.orders.bind(1).entry() is not None
    assert accounts.count("unopened_entries") >= 2


@pytest.mark.parametrize("key", [OTHER_KEY, None], ids=["another", "none"])
def test_who_has_another_key_or_none_loads_by_itself(open_accounts: Open, key: str | None) -> None:
    """A process that can't open an entry misses it, counts that, and still answers."""
    open_accounts().orders(1)
    stranger = open_accounts(key)

    assert stranger.orders(1) == [f"{MARKER} of 1"]
    assert (stranger.loads, stranger.count("unopened_entries")) == (1, 1)


def test_keys_change_without_a_miss(open_accounts: Open) -> None:
    """The new key everywhere to open; then first, to seal; then the old one goes: nobody loads anything."""
    steps: list[Any] = [KEY, [KEY, OTHER_KEY], [OTHER_KEY, KEY], OTHER_KEY]
    fleet = [open_accounts(key) for key in steps]
    for before, after in itertools.pairwise(fleet):
        before.orders.refresh(1)
        loads = after.loads
        assert after.orders(1) == before.orders(1) == [f"{MARKER} of 1"]
        assert (after.loads, after.count("unopened_entries")) == (loads, 0)
        # Old and new processes are there at once, and each opens what the other seals.
        after.orders.refresh(1)
        loads = before.loads
        before.orders(1)
        assert (before.loads, before.count("unopened_entries")) == (loads, 0)


def test_sensitive_values_are_not_compressed(open_accounts: Open, server: redis.Redis) -> None:
    """Lengths of compressed text tell what is repeated in it; a private one that is not sensitive is."""
    accounts = open_accounts()
    declared: dict[str, Any] = {"ttl": 60, "scope": "user_id"}

    def fill(user_id: int) -> str:
        return "a" * 20_000

    plain: Any = accounts.flights.cached(**declared, name="plain")(fill)
    secret: Any = accounts.flights.cached(**declared, name="secret", sensitive=True)(fill)
    assert len(plain(1)) == len(secret(1))

    assert server.strlen(plain.bind(1).key) < 1_000
    assert server.strlen(secret.bind(1).key) > 20_000
    assert plain(1) == secret(1) == "a" * 20_000


def test_a_sealed_result_that_stays_the_same_keeps_its_etag(accounts: Accounts) -> None:
    """The digest is made with the key, so a refresh that finds the same is known as such."""
    first = accounts.orders.read(1)
    accounts.orders.refresh(1)

    assert first.etag is not None
    assert accounts.orders.read(1).etag == first.etag
    assert accounts.count("commits_unchanged") == 1
    assert accounts.orders.read(1).tags == ("found:1",)
    assert accounts.salary.read(1).etag is None


def test_near_copies_of_sealed_entries_are_open(open_accounts: Open) -> None:
    """A private query may be kept near; its copies are checked against their owner, as its entries are."""
    accounts = open_accounts(near=5)
    accounts.orders(1)
    wait_until(lambda: bool(accounts.orders(1)) and accounts.count("near_hits") > 0, description="a near hit")

    assert accounts.orders(1) == [f"{MARKER} of 1"]
    assert accounts.loads == 1
    with accounts.flights.identity(user_id=2), pytest.raises(IdentityRefused):
        accounts.orders(1)


@dataclass(kw_only=True)
class Order:
    """Nothing but decoding makes another of these, so a copy is its bytes."""

    number: int


def test_near_copies_of_what_is_decoded_for_each_reader_are_open(open_accounts: Open) -> None:
    """Their bytes are opened once, when they are kept."""
    flights = open_accounts().flights

    @flights.cached(ttl=60, near=5, name="decoded", scope="user_id")
    def decoded(user_id: int) -> list[Order]:
        return [Order(number=user_id)]

    near = keep_near(flights, lambda: decoded(1))
    assert type(near.live[decoded.bind(1).key.encode()].source) is bytes
    assert decoded(1) == [Order(number=1)]


def test_sealed_entries_can_be_verified(accounts: Accounts) -> None:
    """An audit opens what it compares."""
    accounts.orders(1)
    audit = Audit(accounts.flights.runtime(), [accounts.flights.readings["orders"]])

    assert audit.step() == "same"
    accounts.error = f"no row {MARKER}"
    assert audit.step() == "failed"
    assert audit.report.failures == ["orders(***): ***"]


@pytest.mark.parametrize("key", [KEY, None], ids=["key", "none"])
def test_inspect_says_whether_an_entry_is_sealed(open_accounts: Open, key: str | None) -> None:
    """And what is said of failures is no more than their class."""
    accounts = open_accounts(key)
    accounts.orders(1)
    store, reading = accounts.flights.runtime().store, accounts.flights.readings["orders"]

    assert inspect_entry(store, reading, (1,)).sealed is (key is not None)
    assert inspect_entry(store, reading, (7,)).sealed is False
    accounts.error = f"no row {MARKER}"
    with pytest.raises(LoadFailed):
        accounts.orders(2)
    failing = query_status(store, reading, store.resync_now()).failing
    assert [one.cause for one in failing] == ["ValueError: ***"]


@pytest.mark.usefixtures("long_back_off")
def test_another_process_learns_only_the_class_of_what_failed(open_accounts: Open) -> None:
    """The record of a failure is for the readers of all processes, and for whoever looks into Redis."""
    one, other = open_accounts(), open_accounts()
    one.error = f"no row {MARKER}"
    with pytest.raises(LoadFailed, match=MARKER):
        one.orders(1)

    with pytest.raises(LoadFailed, match="ValueError") as caught:
        other.orders(1)
    assert MARKER not in str(caught.value)
    assert other.loads == 0


def test_the_log_says_nothing_of_a_private_load(accounts: Accounts, caplog: pytest.LogCaptureFixture) -> None:
    """Neither its params nor what its error quotes."""
    accounts.error = f"no row {MARKER}"
    with caplog.at_level(logging.DEBUG, "warmer"), pytest.raises(LoadFailed):
        accounts.salary(4711)

    assert "salary(***)" in caplog.text
    assert "plaintext" not in caplog.text
