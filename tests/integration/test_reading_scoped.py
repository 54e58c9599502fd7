"""Values private to an identity: who may read them, and how they are forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from tests.board import value_of
from warmer import PUBLIC, LoadFailed, ParamError, Query, Warmer
from warmer.errors import IdentityRefused, IdentityUnscoped, InvalidOption


@pytest.fixture
def watched(flights: Warmer) -> Query[[int, str], int]:
    """A query private to a user."""
    loads = 0

    @flights.cached(ttl=60, name="watched", scope="user_id", stale_after_write=60)
    def watched(user_id: int, kind: str) -> int:
        nonlocal loads
        loads += 1
        return user_id * 100 + loads

    return watched


def test_each_identity_has_values_of_its_own(watched: Query[[int, str], int]) -> None:
    """The identity is part of the key."""
    assert [watched(1, "a"), watched(2, "a"), watched(1, "a")] == [101, 202, 101]


def test_acting_for_one_no_other_is_read(flights: Warmer, watched: Query[[int, str], int]) -> None:
    """Within identity(...), whatever reads for anybody else is refused, and nothing is loaded."""
    with flights.identity(user_id=1):
        assert watched(1, "a") == 101
        one = watched.bind(2, "a")
        for read in (one.get, one.read, one.entry, one.refresh, lambda: watched(2, "a")):
            with pytest.raises(IdentityRefused):
                read()
        with pytest.raises(IdentityRefused):
            watched.get_many([(1, "a"), (2, "a")])

    assert watched(2, "a") == 202, "this was the second load"


def test_acting_for_one_no_other_is_read_from_asyncio(
    flights: Warmer, watched: Query[[int, str], int]
) -> None:
    """The same for every awaited way."""

    async def try_all() -> int:
        with flights.identity(user_id=1):
            one = watched.bind(2, "a")
            for read in (
                one.aget,
                one.aread,
                one.aentry,
                one.arefresh,
                lambda: watched.aget_many([(2, "a")]),
            ):
                with pytest.raises(IdentityRefused):
                    await read()
            return await watched.aget(1, "a")

    assert asyncio.run(try_all()) == 101


def test_a_public_query_does_not_mind(flights: Warmer) -> None:
    """Only queries of that scope are refused."""

    @flights.cached(ttl=60, name="profile", scope=PUBLIC)
    def profile(user_id: int) -> int:
        return user_id

    with flights.identity(user_id=1):
        assert profile(2) == 2


def test_identities_nest_and_end(flights: Warmer, watched: Query[[int, str], int]) -> None:
    """The inner one counts within it, the outer one after it, none after that."""
    with flights.identity(user_id=1):
        with flights.identity(user_id=2):
            assert watched(2, "a") == 201
        with pytest.raises(IdentityRefused):
            watched(2, "a")
    assert watched(2, "a") == 201


def test_an_identity_belongs_to_its_thread(
    flights: Warmer, watched: Query[[int, str], int], start: Callable[..., Future[Any]]
) -> None:
    """Another thread acts for whomever it acts for."""
    with flights.identity(user_id=1):
        assert value_of(start(watched, 2, "a")) == 201


def test_an_identity_of_another_type_is_an_error(flights: Warmer, watched: Query[[int, str], int]) -> None:
    """identity(user_id="1") for an int can't be compared, so it is said, and nothing is read."""
    with flights.identity(user_id="1"), pytest.raises(ParamError, match="user_id"):
        watched(1, "a")


def test_a_value_with_another_owner_is_a_miss(flights: Warmer, namespace: str, redis_url: str) -> None:
    """What was stored as public, by a release that did not know better, is not served as private."""
    earlier = Warmer(namespace, redis_url=redis_url)

    @earlier.cached(ttl=60, name="orders", version="1", scope=PUBLIC)
    def public(user_id: int) -> int:
        return -1

    @flights.cached(ttl=60, name="orders", version="1", scope="user_id")
    def private(user_id: int) -> int:
        return user_id

    assert public(7) == -1
    assert private.bind(7).entry() is None
    assert private(7) == 7
    assert flights.runtime().counts.snapshot()["foreign_entries"] >= 1
    earlier.close()


def test_a_value_with_an_owner_is_not_everybodys(flights: Warmer, namespace: str, redis_url: str) -> None:
    """Nor the other way round: what was stored as private, before or in another process, is for its owner."""
    earlier = Warmer(namespace, redis_url=redis_url)

    @earlier.cached(ttl=60, name="orders", version="1", scope="user_id")
    def private(user_id: int) -> int:
        return user_id

    @flights.cached(ttl=60, name="orders", version="1", scope=PUBLIC)
    def public(user_id: int) -> int:
        return -1

    assert private(7) == 7
    assert public.bind(7).entry() is None
    assert public(7) == -1
    assert flights.runtime().counts.snapshot()["foreign_entries"] >= 1
    earlier.close()


def test_a_value_of_another_owner_is_not_taken_from_a_load_either(
    flights: Warmer, namespace: str, redis_url: str, start: Callable[..., Future[Any]]
) -> None:
    """Nor when it is stored while the reader waits for it."""
    earlier = Warmer(namespace, redis_url=redis_url)

    @earlier.cached(ttl=60, name="orders", version="1", scope=PUBLIC)
    def public(user_id: int) -> int:
        return -1

    @flights.cached(ttl=60, name="orders", version="1", scope="user_id")
    def private(user_id: int) -> int:
        return user_id

    reading = start(private.bind(7).get, miss="wait")
    public(7)
    assert private(7) == 7

    assert value_of(reading) == 7
    earlier.close()


def test_forgetting_takes_all_of_one_identity(namespace: str, redis_url: str) -> None:
    """Every value private to it goes, in every query of that scope, stale_after_write or not; others stay."""
    flights = Warmer(namespace, redis_url=redis_url, reader_refresh="never")

    @flights.cached(ttl=60, name="watched", scope="user_id", stale_after_write=60)
    def watched(user_id: int, kind: str) -> int:
        return user_id

    watched.get_many([(1, "a"), (1, "b"), (2, "a")])
    watched.invalidate(1, "a")
    assert watched.bind(1, "a").entry() is not None, "kept for a while after the write"

    assert flights.forget(user_id=1) == 2

    assert [watched.bind(*call).entry() is None for call in ((1, "a"), (1, "b"), (2, "a"))] == [
        True,
        True,
        False,
    ]
    flights.close()


def test_forgetting_spans_queries_that_write_the_identity_differently(flights: Warmer) -> None:
    """One query has the id as text, another as a number: either way of writing it forgets both."""

    @flights.cached(ttl=60, name="by_number", scope="user_id")
    def by_number(user_id: int) -> int:
        return user_id

    @flights.cached(ttl=60, name="by_text", scope="user_id")
    def by_text(user_id: str) -> str:
        return user_id

    for written in (7, "7"):
        by_number(7)
        by_text("7")
        assert flights.forget(user_id=written) == 2
    with pytest.raises(ParamError, match="user_id"):
        flights.forget(user_id=1.5)


def test_forgetting_by_an_unknown_scope_is_an_error(flights: Warmer, watched: Query[[int, str], int]) -> None:
    """It names the scopes that there are."""
    with pytest.raises(InvalidOption, match="user_id"):
        flights.forget(tenant=1)
    with pytest.raises(InvalidOption, match="one scope"):
        flights.forget()


def test_an_identity_among_the_params_must_be_spoken_of(flights: Warmer) -> None:
    """A param that looks like an identity needs a scope; without one nothing is registered."""
    with pytest.raises(IdentityUnscoped, match="user_id"):

        @flights.cached(ttl=60, name="risky")
        def risky(user_id: int) -> int:
            return user_id

    assert "risky" not in flights.queries


def test_a_failure_of_one_identity_is_not_told_to_another(flights: Warmer) -> None:
    """Errors are shared by those who read the same entry, and the identity is in its key."""

    @flights.cached(ttl=60, name="fails", scope="user_id")
    def fails(user_id: int) -> int:
        if user_id == 1:
            raise ValueError("the secret of 1")
        return user_id

    with pytest.raises(LoadFailed):
        fails(1)
    assert fails(2) == 2
