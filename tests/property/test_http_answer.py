"""What must hold for the headers of any response, whatever it shows and whoever asks."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from warmer.http.answer import CDN, SURROGATE, Headers, Request, answer
from warmer.http.part import Part

SECONDS = st.floats(0, 1e6)
PARTS = st.lists(
    st.builds(
        Part,
        seed=st.sampled_from(["", "a 1", "b 2"]),
        age_s=SECONDS,
        fresh_s=SECONDS | st.just(0.0),
        grace_s=SECONDS | st.just(0.0),
        browser_s=SECONDS | st.just(0.0),
        private=st.booleans(),
        sensitive=st.integers(0, 9).map(lambda n: n == 0),
        keys=st.lists(st.sampled_from(["n/q:a", "n/g:b", "n/" + "x" * 4000]), max_size=3).map(tuple),
    ),
    min_size=1,
    max_size=4,
)
REQUESTS = st.builds(
    Request,
    st.sampled_from(["GET", "HEAD", "POST"]),
    st.sampled_from([None, "*", '"a"', "broken"]),
    st.booleans(),
)
STATUSES = st.sampled_from([200, 201, 301, 403, 404, 500])
OWN: st.SearchStrategy[Headers] = st.lists(
    st.sampled_from(
        [
            ("Set-Cookie", "a=1"), ("Vary", "Cookie"), ("Vary", "Accept"), ("Cache-Control", "max-age=60"),
            ("cache-control", "no-store"), ("ETag", '"a"'), ("Content-Type", "text/html"),
        ]
    ),
    max_size=3,
)  # fmt: skip


@given(PARTS, REQUESTS, STATUSES, OWN, st.sampled_from([None, SURROGATE, CDN]))
def test_nothing_private_is_ever_for_a_shared_cache(parts, request, status, own, dialect) -> None:  # type: ignore[no-untyped-def]
    """No response with a private or sensitive entry says public, a time for shared caches, or a key."""
    _, headers = answer(parts, request, status, own, dialect=dialect)
    told: dict[str, str] = {}
    for name, value in headers:
        told[name.lower()] = f"{told.get(name.lower(), '')}, {value}".removeprefix(", ")

    if any(part.private or part.sensitive for part in parts):
        assert re.search("private|no-store", told["cache-control"])
        assert "public" not in told["cache-control"]
        assert not told.keys() & {"surrogate-key", "cache-tag"}
        assert told.get("surrogate-control", "no-store") == told.get("cdn-cache-control", "no-store")
    if any(part.sensitive for part in parts):
        assert told["cache-control"] == "no-store"


@given(PARTS, REQUESTS, STATUSES, st.sampled_from([SURROGATE, CDN]))
def test_a_shared_cache_keeps_only_what_it_can_be_told_to_drop(parts, request, status, dialect) -> None:  # type: ignore[no-untyped-def]
    """Where a time is given, all keys are there, and nothing lasts beyond any entry's ttl and grace."""
    _, headers = answer(parts, request, status, [], dialect=dialect)
    told = dict(headers)
    age, control = int(told.get("Age", "0")), told.get(dialect.control, "no-store")

    if control != "no-store":
        numbers = [int(number) for number in re.findall(r"=(\d+)", control)]
        assert all(part.keys for part in parts)
        assert set(told[dialect.keys].split(dialect.separator)) == {
            key for part in parts for key in part.keys
        }
        assert numbers[0] - age <= min(part.fresh_s for part in parts)
        assert sum(numbers[1:2]) <= min(part.grace_s for part in parts)
    kept = re.search(r"max-age=(\d+)", told.get("Cache-Control", ""))
    if kept is not None:
        assert int(kept[1]) - age <= min(min(part.browser_s, part.fresh_s) for part in parts)


@given(PARTS, REQUESTS, STATUSES, OWN)
def test_an_answer_given_twice_is_the_same(parts, request, status, own) -> None:  # type: ignore[no-untyped-def]
    """What was answered once, through a second adapter, stays as private, and a 304 a 304."""
    again = replace(request)
    status_once, once = answer(parts, request, status, own)
    status_twice, twice = answer(parts, again, status_once, once)

    if status_once == 304:
        assert status_twice == 304
    assert ("Cache-Control", "no-store") not in once or ("Cache-Control", "no-store") in twice
