"""From the entries in a response to its headers: the table of kinds of query and of what else decides."""

from __future__ import annotations

from dataclasses import replace

import pytest

from warmer.http.answer import CDN, SURROGATE, Dialect, Headers, Request, answer
from warmer.http.etags import entity_tag
from warmer.http.part import Part, combined

GET = Request("GET")
BOARD = Part(seed="board 7", age_s=20.9, fresh_s=39.1, grace_s=60.0, keys=("w/g:day", "w/q:board"))
WAITING = replace(BOARD, browser_s=10.0)
STALE = replace(BOARD, fresh_s=0.0, browser_s=10.0)
UNSTORED = replace(BOARD, seed="", fresh_s=0.0, grace_s=0.0)
MINE = replace(BOARD, seed="mine 8", private=True, browser_s=10.0, keys=())
SECRET = replace(MINE, sensitive=True)
HTML: Headers = [("Content-Type", "text/html"), ("Content-Length", "12")]

KEPT = "max-age=59, stale-while-revalidate=60, stale-if-error=60"
KEYS = {"Surrogate-Key": "w/g:day w/q:board"}
SHARED = {"Surrogate-Control": KEPT, **KEYS}
EVERYBODY = {"Cache-Control": "public, no-cache", "Age": "20"}
NOT_SHARED = {"Surrogate-Control": "no-store"}
ONE = {"Cache-Control": "private, no-cache", "Age": "20", "Vary": "Cookie, Authorization"}


def _told(
    *parts: Part,
    request: Request = GET,
    status: int = 200,
    own: Headers = HTML,
    dialect: Dialect | None = None,
) -> dict[str, str]:
    """The headers that an answer has beyond those of the handler."""
    _, headers = answer(parts, request, status, own, dialect=dialect)
    return {name: value for name, value in headers if (name, value) not in own and name != "ETag"}


@pytest.mark.parametrize(
    ("part", "unpurged", "purged"),
    [
        (BOARD, EVERYBODY, SHARED),
        (WAITING, EVERYBODY | {"Cache-Control": "public, max-age=30"}, SHARED),
        (replace(BOARD, grace_s=0.0), EVERYBODY, {"Surrogate-Control": "max-age=59", **KEYS}),
        (STALE, EVERYBODY, NOT_SHARED),
        (UNSTORED, EVERYBODY, NOT_SHARED),
        (replace(BOARD, keys=()), EVERYBODY, NOT_SHARED),
        (replace(BOARD, keys=tuple(f"w/g:{n:040}" for n in range(100))), EVERYBODY, NOT_SHARED),
        (MINE, ONE, NOT_SHARED),
        (SECRET, {"Cache-Control": "no-store"}, NOT_SHARED),
    ],
    ids=[
        "public",
        "browser_max_age",
        "no grace",
        "stale",
        "unstored",
        "no keys",
        "keys",
        "private",
        "secret",
    ],
)
def test_each_kind_of_entry_has_its_headers(
    part: Part, unpurged: dict[str, str], purged: dict[str, str]
) -> None:
    """Browsers ask each time unless told otherwise; only a cache that is purged may keep what is public."""
    assert _told(part) == unpurged
    assert _told(part, dialect=SURROGATE) == unpurged | purged


def test_a_cache_is_spoken_to_in_its_dialect() -> None:
    """Cloudflare reads CDN-Cache-Control and tags with commas between."""
    told = _told(BOARD, dialect=CDN)

    assert (told["CDN-Cache-Control"], told["Cache-Tag"]) == (KEPT, "w/g:day,w/q:board")
    assert not told.keys() & {"Surrogate-Control", "Surrogate-Key"}


def test_the_strictest_entry_of_a_response_decides() -> None:
    """Of several entries the shortest time, the oldest age, and privacy win; all keys are there."""
    other = Part(seed="o 1", age_s=5.0, fresh_s=10.0, grace_s=3.0, keys=("w/q:other", "w/g:day"))

    told = _told(BOARD, other, dialect=SURROGATE)

    assert told["Age"] == "20"
    assert told["Surrogate-Control"] == "max-age=30, stale-while-revalidate=3, stale-if-error=3"
    assert told["Surrogate-Key"] == "w/g:day w/q:board w/q:other"
    assert _told(BOARD, replace(BOARD, keys=()), dialect=SURROGATE) == EVERYBODY | NOT_SHARED
    assert _told(BOARD, MINE, dialect=SURROGATE) == ONE | NOT_SHARED
    assert _told(MINE, BOARD, SECRET, dialect=SURROGATE) == {"Cache-Control": "no-store"} | NOT_SHARED
    assert _told(WAITING, BOARD)["Cache-Control"] == "public, no-cache"


PERSONAL = EVERYBODY | {"Cache-Control": "private, no-cache"} | NOT_SHARED


@pytest.mark.parametrize(
    ("request_", "own", "vary"),
    [
        (replace(GET, authorized=True), [], "Authorization"),
        (GET, [("Set-Cookie", "session=1")], "Cookie"),
        (GET, [("Vary", "Accept, cookie")], "Accept, cookie"),
        (GET, [("Vary", "*")], "*"),
    ],
    ids=["authorized", "sets a cookie", "varies by cookie", "varies by anything"],
)
def test_what_may_be_for_one_person_stays_with_them(request_: Request, own: Headers, vary: str) -> None:
    """A response of public entries is private where the request or the handler hint at a person."""
    _, headers = answer([WAITING], request_, 200, own, dialect=SURROGATE)

    assert dict(headers) == dict(own) | PERSONAL | {"Vary": vary, "ETag": entity_tag(WAITING.seed)}


@pytest.mark.parametrize("status", [201, 206, 302, 401, 403, 500, 503])
def test_what_says_nothing_of_an_entry_is_left_alone(status: int) -> None:
    """An answer that no cache keeps by itself is not made one that it keeps, nor is a POST's."""
    assert answer([WAITING], GET, status, HTML, dialect=SURROGATE) == (status, HTML)
    assert answer([WAITING], Request("POST"), 200, HTML, dialect=SURROGATE) == (200, HTML)


def test_what_was_not_found_is_purged_like_what_was() -> None:
    """A 404 that was made of an entry carries its keys, and no entity tag."""
    told = _told(BOARD, status=404, dialect=SURROGATE)

    assert told["Surrogate-Key"] == "w/g:day w/q:board"
    assert "ETag" not in dict(answer([BOARD], GET, 404, HTML)[1])


def test_errors_and_posts_of_private_entries_are_private_too() -> None:
    """Whatever the status and the method, nothing private or sensitive is for a shared cache."""
    for request, status in ((GET, 500), (Request("POST"), 201)):
        assert _told(MINE, request=request, status=status)["Cache-Control"] == "private, no-cache"
        assert _told(SECRET, request=request, status=status)["Cache-Control"] == "no-store"


def test_a_handlers_own_word_counts_unless_it_is_too_lax() -> None:
    """A Cache-Control of the handler's stays; but what is private or sensitive is not made public by it."""
    own = [("cache-control", "public, max-age=600")]

    assert answer([BOARD], GET, 200, own, dialect=SURROGATE) == (200, own)
    assert _told(MINE, own=own)["Cache-Control"] == "private, no-cache"
    assert _told(SECRET, own=own)["Cache-Control"] == "no-store"
    assert answer([MINE], GET, 200, [("Cache-Control", "no-store")]) == (200, [("Cache-Control", "no-store")])


def test_a_response_without_entries_is_left_alone() -> None:
    """What read nothing gets nothing."""
    assert answer([], replace(GET, if_none_match="*"), 200, HTML) == (200, HTML)


def test_a_client_that_has_it_gets_304_without_content() -> None:
    """304 has the headers of the answer, but for those that describe content; cookies go out all the same."""
    own = [*HTML, ("Content-Location", "/b"), ("Link", "</x>")]
    request = replace(GET, if_none_match=f'"other", {entity_tag(BOARD.seed)}')

    status, headers = answer([BOARD], request, 200, own, dialect=SURROGATE)

    assert status == 304
    assert not {name for name, _ in headers} & {"Content-Type", "Content-Length"}
    assert dict(headers) == {
        "Content-Location": "/b", "Link": "</x>", "ETag": entity_tag(BOARD.seed), **EVERYBODY,
        **SHARED,
    }  # fmt: skip


def test_nothing_is_unchanged_that_nobody_vouches_for() -> None:
    """A value that is not stored has no entity tag, and `*` does not make a 304 of it."""
    status, headers = answer([BOARD, UNSTORED], replace(GET, if_none_match="*"), 200, HTML)

    assert (status, "ETag" in dict(headers)) == (200, False)


def test_a_handlers_own_entity_tag_is_the_one_that_counts() -> None:
    """What the handler knows of its content stands in place of what the entries say."""
    own = [("ETag", '"mine"')]

    assert answer([BOARD], replace(GET, if_none_match='W/"mine"'), 200, own)[0] == 304
    assert answer([BOARD], replace(GET, if_none_match=entity_tag(BOARD.seed)), 200, own)[0] == 200


def test_the_entity_tag_is_of_what_is_shown_and_of_the_page() -> None:
    """It changes with each value and with the page's version, and not with the order of reading."""
    other = replace(BOARD, seed="board 8")
    tags = {entity_tag(combined(parts).seed, v) for parts in ([BOARD], [other], [BOARD, other]) for v in "ab"}

    assert len(tags) == 6
    assert combined([BOARD, other, BOARD]).seed == combined([other, BOARD]).seed
