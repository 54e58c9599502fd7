"""Purging: what is sent when, against caches of the tests' own that record what they are asked."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from warmer import Warmer
from warmer.errors import PurgeFailed
from warmer.http import Cloudflare, Fastly, Varnish
from warmer.http.purging import Purges
from warmer.testing import wait_until


class Unreachable(Exception):
    """An error that is hard to tell."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __repr__(self) -> str:
        return "no route to redis://:hunter2@cache"


class Recording:
    """A purger that notes what it was asked, may fail, and may be held up."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.fails = False
        self.free = threading.Event()
        self.free.set()

    def purge(self, keys: Sequence[str], /) -> None:
        """Note it."""
        self.asked.append(sorted(keys))
        assert self.free.wait(30)
        if self.fails:
            raise Unreachable

    @property
    def keys(self) -> set[str]:
        """All that it was asked to purge."""
        return {key for keys in self.asked for key in keys}


@pytest.fixture
def cache() -> Recording:
    """A shared cache."""
    return Recording()


@pytest.fixture
def shop(namespace: str, redis_url: str, cache: Recording) -> Iterator[Warmer]:
    """A namespace whose invalidations purge `cache`."""
    flights = Warmer(namespace, redis_url=redis_url, purger=cache, purge_wait=30, purge_again=0)
    yield flights
    cache.free.set()
    flights.close()


def test_each_kind_of_invalidation_purges_its_names(shop: Warmer, cache: Recording) -> None:
    """When an invalidation has returned, the cache was told its names, but for those of private entries."""

    @shop.cached(ttl=60, name="prices", version="1", tags=("month:{month}",))
    def prices(month: int, year: int = 2013) -> int:
        return month

    @shop.cached(ttl=60, name="orders", version="1", scope="user_id")
    def orders(user_id: int) -> int:
        return user_id

    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: prices.invalidate(3), "e:prices:3%2C2013"),
        (lambda: prices.invalidate_where(month=3), "q:prices"),
        (lambda: prices.invalidate_all(), "q:prices"),
        (lambda: shop.invalidate_tags("month:3"), "g:month:3"),
    ]
    for call, name in calls:
        prices(3)
        call()

        assert cache.asked == [[f"{shop.namespace}/{name}"]]
        cache.asked.clear()
    orders(1)
    orders.refresh(1)
    shop.forget(user_id=1)
    assert cache.asked == []


def test_a_purge_is_sent_when_the_entries_are_gone(shop: Warmer, cache: Recording) -> None:
    """A cache that fetches anew as soon as it's purged must not get the old value again."""

    @shop.cached(ttl=60, name="prices", version="1", tags=("all",))
    def prices(month: int) -> int:
        return month

    prices(3)
    found: list[Any] = []
    cache.purge = lambda keys, /: found.append(prices.bind(3).entry())  # type: ignore[method-assign]
    shop.invalidate_tags("all")

    assert found == [None]


def test_a_refresh_purges_only_what_it_changed(shop: Warmer, cache: Recording) -> None:
    """A refresh that finds the same result leaves pages be; one that finds another purges them."""
    price = [5]

    @shop.cached(ttl=60, name="prices", version="1", tags=("all",))
    def prices(month: int) -> int:
        return price[0]

    prices(3)
    prices.refresh(3)
    assert cache.asked == []
    price[0] = 6
    prices.refresh(3)

    wait_until(lambda: cache.asked, description="the purge after the changed refresh")
    assert cache.asked == [[f"{shop.namespace}/e:prices:3"]]


def _purges(cache: Recording, counts: dict[str, int], **times: float) -> Purges:
    def count(event: str, n: int = 1) -> None:
        counts[event] = counts.get(event, 0) + n

    return Purges(cache, "shop", count, **{"wait_s": 30.0, "again_s": 0.0, **times})


def test_purges_that_come_together_are_sent_together(cache: Recording) -> None:
    """While one purge is under way, all others become one."""
    counts: dict[str, int] = {}
    purges = _purges(cache, counts)
    cache.free.clear()
    purges.soon(["q:a"])
    wait_until(lambda: cache.asked, description="the first purge to be under way")
    for n in range(1000):
        purges.soon([f"g:{n % 100}"])
    cache.free.set()
    purges.now(["q:b"])
    purges.close()

    assert [len(keys) for keys in cache.asked] == [1, 101]
    assert counts == {"purges": 2}


def test_a_purge_is_sent_a_second_time_later(cache: Recording) -> None:
    """What was on its way to the cache during the first purge is hit by the second; there is no third."""
    purges = _purges(cache, {}, again_s=0.2)
    purges.now(["q:a"])
    wait_until(lambda: len(cache.asked) == 2, description="the second purge")
    purges.now(["q:b"])
    purges.close()

    assert cache.asked == [["shop/q:a"], ["shop/q:a"], ["shop/q:b"], ["shop/q:b"]]


def test_a_purge_that_fails_is_repeated_and_nothing_is_lost(
    cache: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    """With the cache away, invalidations don't wait for it; once it's back, it's told all."""
    counts: dict[str, int] = {}
    purges = _purges(cache, counts)
    cache.fails = True
    with caplog.at_level(logging.WARNING, "warmer"):
        purges.now(["q:a"])
        purges.now(["q:b"])
        wait_until(lambda: len(cache.asked) > 2, description="two tries more")
        cache.fails = False
        wait_until(lambda: counts.get("purges"), description="a purge that succeeds")
    purges.close()

    assert cache.asked[-1] == ["shop/q:a", "shop/q:b"]
    assert "purges_lost" not in counts
    assert len(caplog.records) == 1
    assert "hunter2" not in caplog.text


def test_what_is_given_up_is_logged_and_counted(cache: Recording, caplog: pytest.LogCaptureFixture) -> None:
    """A cache that stays away until the process ends: which keys were not purged is in the log."""
    counts: dict[str, int] = {}
    purges = _purges(cache, counts)
    cache.fails = True
    purges.now(["q:a", "q:b"])
    with caplog.at_level(logging.ERROR, "warmer"):
        purges.close()

    assert counts["purges_lost"] == 2
    assert "shop/q:a, shop/q:b" in caplog.text


def test_a_cache_that_hangs_holds_an_invalidation_up_for_a_bounded_time(cache: Recording) -> None:
    """Whoever invalidates waits for `purge_wait` at most; the purge goes on."""
    purges = _purges(cache, {}, wait_s=0.05)
    cache.free.clear()

    purges.now(["q:a"])

    assert cache.asked == [["shop/q:a"]] or not cache.asked  # it returned, done or not
    cache.free.set()
    purges.close()
    assert cache.keys == {"shop/q:a"}


def test_a_purger_and_an_address_are_one_too_many(namespace: str) -> None:
    """Two ways to say which cache is purged contradict each other."""
    with pytest.raises(Exception, match="purger and purge_url are both given"):
        Warmer(namespace, purger=Recording(), purge_url="http://127.0.0.1:1")


# -- what goes over the wire


class Service:
    """An HTTP server that notes each request and answers as it's told."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.status, self.answer = 200, b"{}"
        service = self

        class Handler(BaseHTTPRequestHandler):
            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                service.requests.append((self.command, self.path, headers, body))
                self.send_response(service.status)
                self.send_header("Content-Length", str(len(service.answer)))
                self.end_headers()
                self.wfile.write(service.answer)

            do_POST = do_BAN = _any  # noqa: N815 - so are they called by its base

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def service() -> Iterator[Service]:
    """A cache's interface for purging."""
    service = Service()
    yield service
    service.close()


def test_fastly_is_asked_as_its_reference_says(service: Service) -> None:
    """One POST for each 256 keys, with the token in a header of Fastly's; soft only if wanted."""
    Fastly("SU1Z0isxPaozGVKXdv0eY", "secret", url=service.url).purge([f"k{n}" for n in range(300)])
    Fastly("other", "secret", soft=True, url=service.url).purge(["k"])

    first, second, third = service.requests
    assert [(r[0], r[1]) for r in (first, second)] == [("POST", "/service/SU1Z0isxPaozGVKXdv0eY/purge")] * 2
    assert json.loads(first[3]) == {"surrogate_keys": [f"k{n}" for n in range(256)]}
    assert json.loads(second[3]) == {"surrogate_keys": [f"k{n}" for n in range(256, 300)]}
    assert first[2]["fastly-key"] == "secret"
    assert (first[2]["content-type"], first[2]["accept"]) == ("application/json", "application/json")
    assert "fastly-soft-purge" not in first[2]
    assert (third[1], third[2]["fastly-soft-purge"]) == ("/service/other/purge", "1")


def test_cloudflare_is_asked_as_its_reference_says(service: Service) -> None:
    """One POST for each 30 tags, with a bearer's token; and only `success` is success."""
    service.answer = b'{"success": true, "errors": []}'
    Cloudflare("zone1", "secret", url=f"{service.url}/client/v4").purge([f"k{n}" for n in range(31)])

    first, second = service.requests
    assert first[:2] == ("POST", "/client/v4/zones/zone1/purge_cache")
    assert first[2]["authorization"] == "Bearer secret"
    assert json.loads(first[3]) == {"tags": [f"k{n}" for n in range(30)]}
    assert json.loads(second[3]) == {"tags": ["k30"]}

    service.answer = b'{"success": false, "errors": [{"code": 1}]}'
    with pytest.raises(PurgeFailed):
        Cloudflare("zone1", "secret", url=service.url).purge(["k"])


def test_varnish_is_asked_by_a_request_of_its_own_method(service: Service) -> None:
    """BAN with the keys in one header, in lines of bounded length; all are asked, even if one fails."""
    keys = [f"shop/g:{n:03}" for n in range(600)]
    Varnish(service.url).purge(keys)

    assert {request[:2] for request in service.requests} == {("BAN", "/")}
    lines = [request[2]["surrogate-key"] for request in service.requests]
    assert " ".join(lines).split() == keys
    assert all(len(line) <= 4000 for line in lines)

    service.requests.clear()
    with pytest.raises(PurgeFailed):
        Varnish("http://127.0.0.1:1", service.url).purge(["k"])
    assert len(service.requests) == 1
    service.status = 405
    with pytest.raises(PurgeFailed, match="405"):
        Varnish(service.url).purge(["k"])
