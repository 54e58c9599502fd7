"""What errors say, where a caller got it wrong: each word of it is true of that call."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import FunctionType
from typing import Any

import pytest
from sqlalchemy import Column, MetaData, String, Table

from warmer import LoadFailed, Query, Warmer, WarmerWarning, invalidation
from warmer.errors import (  # fmt: skip
    DecorationError,
    DuplicateQuery,
    InvalidationUnconfirmed,
    InvalidOption,
    RedisUnreachable,
    UnsupportedParam,
)

RUNTIME: Any = None  # it is refused before one is needed
flights = Warmer("telling")


@flights.cached(ttl=60, name="delays", version="1", scope="user_id")
def delays(user_id: int) -> int:
    """Never loaded here."""
    return user_id


CALLS: list[tuple[Callable[[], object], str]] = [
    (
        lambda: invalidation.invalidate_where(RUNTIME, flights.readings["delays"], {}),
        "one or more; invalidate_all() drops every entry",
    ),
    (lambda: invalidation.invalidate_tags(RUNTIME, [], {}), "expected the tags to be one or more texts"),
    (lambda: flights.forget(user=42), "a scope of a query (Did you mean 'user_id'?), got: 'user'"),
    (lambda: Warmer("none").forget(user=42), "a scope of a query (None is known), got: 'user'"),
]


@pytest.mark.parametrize(("call", "said"), CALLS, ids=["where", "tags", "forget", "forget-nobody"])
def test_a_call_that_cannot_be_meant_is_not_told_as_a_declaration(
    call: Callable[[], object], said: str
) -> None:
    """Nothing was decorated there, so nothing is to be changed where it is."""
    with pytest.raises(InvalidOption) as caught:
        call()

    assert said in str(caught.value)
    assert "Nothing was registered or changed. Correct" in str(caught.value)
    assert "decorated" not in str(caught.value)


def test_a_misspelt_identity_is_warned_of_once() -> None:
    """It would refuse nobody anything, and nobody would notice."""

    def twice() -> None:
        for _ in range(2):
            with flights.identity(userid=42):
                pass

    with pytest.warns(WarmerWarning, match=r"no query has scope='userid'. Write user_id=") as warned:
        twice()

    assert [(str(one.filename), one.category) for one in warned] == [(__file__, WarmerWarning)]


@pytest.mark.parametrize("owner", [{"user_id": 1}, {"tenant": 7}, {"user_id": 1, "userid": 1}])
def test_an_identity_that_no_slip_explains_is_not_warned_of(owner: dict[str, int]) -> None:
    """Another application's scope, or one that a query may still have."""
    named = Warmer("named")

    @named.cached(ttl=60, name="delays", version="1", scope="user_id")
    def of_user(user_id: int) -> int:
        return user_id

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with named.identity(**owner):
            pass


def test_a_param_that_is_none_is_told_within_the_sentence() -> None:
    """With what is known in brackets."""
    with pytest.raises(InvalidOption) as caught:

        @flights.cached(ttl=60, name="tagged", version="1", tags=("month:{month}",))
        def tagged(carrier: str) -> int:
            return 1

    assert "to be made of params of the query (Known: carrier), got: 'month'" in str(caught.value)


def test_a_column_that_is_none_is_told_within_the_sentence() -> None:
    """As a param is."""
    table = Table("flights", MetaData(), Column("carrier", String))

    with pytest.raises(InvalidOption, match=r"of the table \(Did you mean 'carrier'\?\), got: param"):

        @flights.cached(ttl=60, name="columned", version="1", depends_on={table: {"carier": "carrier"}})
        def columned(carrier: str) -> int:
            return 1


def test_what_else_a_load_needs_is_told_as_it_is_written() -> None:
    """The braces of `resources={...}` are there."""
    with pytest.raises(UnsupportedParam, match=r"belongs in resources=\{\.\.\.\}\."):

        @flights.cached(ttl=60, name="unkeyed", version="1")
        def unkeyed(carriers: list[str]) -> int:
            return 1


def test_queries_that_one_factory_makes_may_have_a_name_each() -> None:
    """Their place in the file is one; said names are no accident of an import."""
    for carrier in ("UA", "DL"):

        @flights.cached(ttl=60, name=f"of_{carrier}", version="1")
        def of_carrier(month: int) -> int:
            return month

    assert {"of_UA", "of_DL"} <= set(flights.queries)


def test_queries_that_one_factory_makes_under_one_name_are_told() -> None:
    """What a function encloses is in no key: the two would be given each other's values."""

    def of_carrier(carrier: str, offset: list[int]) -> Query[[int], int]:
        @flights.cached(ttl=60, name="beside_it", version="1")
        def helper() -> int:
            return 1

        @flights.cached(ttl=60, name="of_one_factory", version="1")
        def rows(month: int) -> int:
            return month + len(carrier) + offset[0] + helper()

        return rows

    offset = [0]
    of_carrier("UA", offset)
    of_carrier("U" + "A"[:], offset)

    with pytest.warns(WarmerWarning, match=r"another carrier: both have the same entries\. Give"):
        of_carrier("DL", offset)
    with pytest.warns(WarmerWarning, match="another offset:"):
        of_carrier("DL", [0])


def test_what_a_query_encloses_is_looked_at_and_not_used() -> None:
    """Objects of anybody's may raise, or answer an array, to the mildest question."""

    class Proxy:
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError(f"outside of a request: {name}")

        def __eq__(self, other: object) -> bool:
            raise ValueError("the truth of an array")

        __hash__ = None  # type: ignore[assignment]

    def around(held: Any) -> None:
        @flights.cached(ttl=60, name="around_anything", version="1")
        def rows(month: int) -> int:
            return month + len(held)

    proxy = Proxy()
    around((proxy, "UA"))
    around((proxy, "U" + "A"[:]))
    for held in ((Proxy(), "UA"), Proxy(), (proxy,)):
        with pytest.warns(WarmerWarning, match="another held:"):
            around(held)


def test_one_place_under_two_names_of_its_path_is_a_module_imported_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its two sets of entries would be invalidated one at a time."""
    flights.cached(ttl=60, version="1")(_twice)
    again = FunctionType(_twice.__code__, globals(), "_twice")
    again.__annotations__, again.__module__ = _twice.__annotations__, "elsewhere.telling"

    with pytest.raises(DuplicateQuery) as caught:
        flights.cached(ttl=60, version="1")(again)

    assert isinstance(caught.value, DecorationError)


def _twice(month: int) -> int:
    return month


def test_a_failed_load_says_when_it_is_tried_again() -> None:
    """After its back-off, or, where there is none, by the next read; without a stop after a stop."""
    paused = str(LoadFailed("q", "3", "ValueError", "no such month.", 1.25))
    at_once = str(LoadFailed("q", "3", "KeyboardInterrupt", "", 0.0))

    assert "ValueError: no such month. Nothing was stored. It is not tried again for 1.25 s" in paused
    assert "failed: KeyboardInterrupt. Nothing was stored. The next read tries again. `.fn" in at_once


def test_an_invalidation_that_was_not_confirmed_says_only_of_the_server_what_happened() -> None:
    """Not that nothing was changed, as it may have been; and it is short enough to be read whole."""
    away = RedisUnreachable("redis://a-host-of-some-length.example:6379/0", "Connection refused.")

    told = str(InvalidationUnconfirmed(("q:delays",), away.what()))

    assert "can't be reached: Connection refused. It may have been applied in part" in told
    assert told.count("docs/errors.md") == 1
