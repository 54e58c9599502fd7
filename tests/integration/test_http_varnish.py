"""Behind a real Varnish: what it keeps, what a purge takes, and who may purge."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import httpx
import pytest

from tests.serving.varnish import VarnishServer
from warmer import Warmer
from warmer.http import Varnish, read
from warmer.http.wsgi import Caching
from warmer.testing import wait_until


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


class Pages:
    """An application with one page of one entry; a page can be held up after its read."""

    def __init__(self, namespace: Warmer) -> None:
        self.namespace, self.price, self.served = namespace, 5, 0
        self.held, self.go = threading.Event(), threading.Event()
        self.go.set()

        @namespace.cached(ttl=600, name="prices", version="1", tags=("month:{month}",))
        def prices(month: int) -> int:
            return self.price

        self.prices = prices

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        """/3 shows March."""
        self.served += 1
        text = str(read(self.prices.bind(int(environ["PATH_INFO"][1:]))))
        self.held.set()
        assert self.go.wait(30)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [text.encode()]


@pytest.fixture
def purge_again() -> float:
    """Seconds until a purge is sent again."""
    return 0.0


@pytest.fixture
def pages(
    namespace: str, redis_url: str, varnish_binary: Path, tmp_path: Path, purge_again: float
) -> Iterator[_Get]:
    """GET through Varnish; `pages.pages` is the application behind it."""
    with VarnishServer(varnish_binary, tmp_path) as varnish, httpx.Client(base_url=varnish.url) as client:
        flights = Warmer(
            namespace, redis_url=redis_url, purge_url=varnish.url, purge_wait=30, purge_again=purge_again
        )
        application = Pages(flights)
        server = make_server("127.0.0.1", 0, Caching(application), server_class=Server, handler_class=Quiet)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            varnish.start(f"http://127.0.0.1:{server.server_port}")
            yield _Get(client, application)
        finally:
            application.go.set()
            server.shutdown()
            thread.join()
            server.server_close()
            flights.close()


class _Get:
    def __init__(self, client: httpx.Client, pages: Pages) -> None:
        self._client, self.pages = client, pages

    def __call__(self, path: str, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._client.get(path, headers=named)

    @property
    def url(self) -> str:
        return str(self._client.base_url)


def test_a_page_is_kept_until_what_it_shows_is_invalidated(pages: _Get) -> None:
    """Each page is fetched once; an invalidation takes those that show what it hit, and no other."""
    first, again = pages("/3"), pages("/3", If_None_Match='"other"')
    tag = first.headers["etag"]
    unchanged = pages("/3", If_None_Match=tag)
    pages("/4")

    assert [first.headers["x-cache"], again.headers["x-cache"]] == ["miss", "hit"]
    assert (unchanged.status_code, pages.pages.served) == (304, 2)
    assert "surrogate-key" not in first.headers
    assert first.headers["cache-control"] == "public, no-cache"

    pages.pages.price = 6
    pages.pages.namespace.invalidate_tags("month:3")
    changed = pages("/3", If_None_Match=tag)

    assert (changed.status_code, changed.text, changed.headers["x-cache"]) == (200, "6", "miss")
    assert (pages("/4").headers["x-cache"], pages.pages.served) == ("hit", 3)


def test_a_refresh_takes_a_page_only_if_it_changed_it(pages: _Get) -> None:
    """A page outlasts refreshes that find what it shows already, and goes with one that does not."""
    prices = pages.pages.prices
    first = pages("/3")
    prices.refresh(3)
    kept = pages("/3")
    pages.pages.price = 6
    prices.refresh(3)
    wait_until(lambda: pages("/3").text == "6", description="the page to be fetched anew")

    assert (kept.headers["x-cache"], kept.headers["etag"]) == ("hit", first.headers["etag"])
    assert pages.pages.served == 2


@pytest.mark.parametrize("purge_again", [1.0])
def test_a_page_on_its_way_during_a_purge_is_taken_by_the_next(pages: _Get) -> None:
    """Varnish keeps what arrives after a ban; the second one takes it."""
    application = pages.pages
    application.go.clear()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(pages, "/3")
        assert application.held.wait(30)
        application.price = 6
        application.prices.invalidate(3)
        application.go.set()
        assert slow.result().text == "5"

    wait_until(lambda: pages("/3").text == "6", description="the second purge")


def test_a_purge_takes_what_carries_one_of_its_keys(pages: _Get) -> None:
    """Many keys are sent in several requests, each of which is confirmed; a key that is none hits nothing."""
    pages("/3")
    Varnish(pages.url).purge([f"other/g:{n:030}" for n in range(500)])
    assert pages("/3").headers["x-cache"] == "hit"

    Varnish(pages.url).purge(["x", f"{pages.pages.namespace.namespace}/q:prices", "y"])
    assert pages("/3").headers["x-cache"] == "miss"


def test_only_those_who_may_can_purge(pages: _Get) -> None:
    """A request from an address that is not among the purgers is refused, and takes nothing."""
    pages("/3")
    transport = httpx.HTTPTransport(local_address="127.0.0.2")
    with httpx.Client(transport=transport) as stranger:
        key = f"{pages.pages.namespace.namespace}/q:prices"
        refused = stranger.request("BAN", pages.url, headers={"Surrogate-Key": key})

    assert (refused.status_code, pages("/3").headers["x-cache"]) == (403, "hit")
