"""The adapters, each around a real application of its framework: what a browser gets."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from flask import Flask, jsonify, session
from starlette.middleware.sessions import SessionMiddleware

from tests.seal_keys import KEY
from warmer import Warmer
from warmer.errors import HeadersSent, IdentityRefused
from warmer.http import Purger, aread, flask, read
from warmer.http.starlette import Caching, Identity

Get = Callable[..., httpx.Response]


class Shop:
    """A namespace with a public, a private and a sensitive query, which counts their loads."""

    def __init__(self, namespace: Warmer) -> None:
        self.namespace, self.loads, self.price = namespace, 0, 5

        @namespace.cached(ttl=600, name="prices", version="1", tags=("month:{month}",))
        def prices(month: int) -> list[int]:
            self.loads += 1
            return [month, self.price]

        @namespace.cached(ttl=600, name="orders", version="1", scope="user_id")
        def orders(user_id: int) -> list[int]:
            return [user_id]

        @namespace.cached(ttl=600, name="salaries", version="1", sensitive=True)
        def salaries(month: int) -> list[int]:
            return [month]

        self.stream: Callable[[], Iterator[str]] = lambda: iter(())
        self.prices, self.orders, self.salaries = prices, orders, salaries

    def value(self, kind: str, number: int) -> list[int]:
        """What the page of this kind shows."""
        found: list[int] = read(getattr(self, kind).bind(number))
        return found


class Nowhere(Purger):
    """A shared cache that is always as it should be."""

    def purge(self, keys: Any, /) -> None:
        """Nothing to do."""


@pytest.fixture
def shop(namespace: str, redis_url: str) -> Iterator[Shop]:
    """The shop, with a shared cache that is purged."""
    flights = Warmer(namespace, redis_url=redis_url, purger=Nowhere(), seal_key=KEY)
    yield Shop(flights)
    flights.close()


def _get_asgi(app: Any) -> Get:
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop")

    def get(path: str, **options: Any) -> httpx.Response:
        return asyncio.run(client.get(path, **options))

    return get


def _get_wsgi(app: Any) -> Get:
    return httpx.Client(transport=httpx.WSGITransport(app), base_url="http://shop").get


def _starlette(shop: Shop) -> Get:
    app = FastAPI()

    @app.get("/{kind}/{number}")
    def page(kind: str, number: int) -> list[int]:
        return shop.value(kind, number)

    @app.get("/async/{kind}/{number}")
    async def apage(kind: str, number: int) -> list[int]:
        return await aread(getattr(shop, kind).bind(number))

    @app.get("/login")
    def login(request: Request) -> list[int]:
        request.session["user_id"] = 1
        return read(shop.prices.bind(1))

    app.add_middleware(Identity, user_id=lambda request: request.session.get("user_id"))
    app.add_middleware(SessionMiddleware, secret_key="test")
    app.add_middleware(Caching)
    return _get_asgi(app)


def _flask(shop: Shop) -> Get:
    app = Flask("shop")
    app.secret_key = "test"

    @app.get("/<kind>/<int:number>")
    def page(kind: str, number: int) -> Any:
        return jsonify(shop.value(kind, number))

    @app.get("/login")
    def login() -> Any:
        session["user_id"] = 1
        return jsonify(read(shop.prices.bind(1)))

    flask.Caching(app)
    flask.Identity(app, user_id=lambda: session.get("user_id"))
    client = httpx.Client(
        transport=httpx.WSGITransport(app, raise_app_exceptions=True), base_url="http://shop"
    )
    app.testing = True
    return client.get


def _django(shop: Shop) -> Get:
    import django
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.urls import clear_url_caches

    if not settings.configured:
        settings.configure(
            SECRET_KEY="test", ALLOWED_HOSTS=["*"], ROOT_URLCONF="warmer_test_pages", USE_TZ=True,
            SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
            DEBUG_PROPAGATE_EXCEPTIONS=True,
            MIDDLEWARE=[
                "warmer.http.django.caching",
                "django.contrib.sessions.middleware.SessionMiddleware",
                "warmer_test_pages.acts_for",
            ],
        )  # fmt: skip
        django.setup()
    sys.modules["warmer_test_pages"] = _django_pages(shop)
    clear_url_caches()
    return _get_wsgi(get_wsgi_application())


def _django_pages(shop: Shop) -> ModuleType:
    from django.http import JsonResponse, StreamingHttpResponse
    from django.urls import path

    from warmer.http.django import identity

    def page(request: Any, kind: str, number: int) -> JsonResponse:
        return JsonResponse(shop.value(kind, number), safe=False)

    async def apage(request: Any, kind: str, number: int) -> JsonResponse:
        try:
            return JsonResponse(await aread(getattr(shop, kind).bind(number)), safe=False)
        except IdentityRefused:
            return JsonResponse({}, status=403)

    def login(request: Any) -> JsonResponse:
        request.session["user_id"] = 1
        return JsonResponse(read(shop.prices.bind(1)), safe=False)

    pages: Any = ModuleType("warmer_test_pages")
    pages.urlpatterns = [
        path("login", login),
        path("stream", lambda request: StreamingHttpResponse(shop.stream())),
        path("async/<kind>/<int:number>", apage),
        path("<kind>/<int:number>", page),
    ]
    pages.acts_for = identity(user_id=lambda request: request.session.get("user_id"))
    made: ModuleType = pages
    return made


@pytest.fixture(params=[_starlette, _flask, _django], ids=["fastapi", "flask", "django"])
def get(request: pytest.FixtureRequest, shop: Shop) -> Get:
    """GET as a browser does it, from the shop's pages in each framework in turn."""
    client: Get = request.param(shop)
    return client


def _with(headers: Mapping[str, str], *names: str) -> dict[str, str | None]:
    return {name: headers.get(name) for name in names}


def test_a_browser_asks_again_and_gets_304_until_something_changed(get: Get, shop: Shop) -> None:
    """The second visit costs no content; after an invalidation the page comes anew, with another tag."""
    first = get("/prices/3")
    tag = first.headers["etag"]
    again = get("/prices/3", headers={"If-None-Match": tag})
    shop.price = 6
    shop.namespace.invalidate_tags("month:3")
    changed = get("/prices/3", headers={"If-None-Match": tag})

    assert (first.status_code, first.json()) == (200, [3, 5])
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert "content-type" not in again.headers
    assert (changed.status_code, changed.json()) == (200, [3, 6])
    assert changed.headers["etag"] != tag
    assert shop.loads == 2


def test_headers_follow_from_what_was_read(get: Get, shop: Shop) -> None:
    """A public page is for everybody, with keys for the cache that is purged; each has its own keys."""
    headers = get("/prices/3").headers

    assert headers["cache-control"] == "public, no-cache"
    assert headers["surrogate-control"].startswith("max-age=")
    assert headers["age"] == "0"
    name = shop.namespace.namespace
    assert f"{name}/q:prices" in headers["surrogate-key"].split()
    assert f"{name}/g:month:3" in headers["surrogate-key"].split()


def test_what_is_private_or_sensitive_never_gets_to_a_shared_cache(get: Get) -> None:
    """Private pages are for the browser alone, sensitive ones for nobody; neither has keys."""
    get("/login")
    mine, secret = get("/orders/1").headers, get("/salaries/1").headers

    names = ("cache-control", "surrogate-control", "surrogate-key")
    assert _with(mine, *names) == {
        "cache-control": "private, no-cache", "surrogate-control": "no-store", "surrogate-key": None,
    }  # fmt: skip
    assert {"Cookie", "Authorization"} <= set(mine["vary"].split(", "))
    assert mine["etag"]
    assert _with(secret, *names, "etag") == {
        "cache-control": "no-store", "surrogate-control": "no-store", "surrogate-key": None, "etag": None,
    }  # fmt: skip


def test_a_response_that_sets_a_cookie_is_for_one_person(get: Get) -> None:
    """A session that begins with this very response makes a page of public entries private."""
    headers = get("/login").headers

    assert "session" in headers["set-cookie"]
    assert headers["cache-control"] == "private, no-cache"
    assert headers["surrogate-control"] == "no-store"
    assert "surrogate-key" not in headers


def test_a_request_acts_for_whom_its_session_says(get: Get) -> None:
    """Within a request, an entry of somebody else is refused; and every entry of anybody, for nobody."""
    with pytest.raises(IdentityRefused):
        get("/orders/1")
    get("/login")

    assert get("/orders/1").json() == [1]
    with pytest.raises(IdentityRefused):
        get("/orders/2")


def test_asyncio_reads_are_noted_too(shop: Shop) -> None:
    """`aread` says the same as `read`."""
    get = _starlette(shop)

    assert get("/async/prices/3").headers["etag"] == get("/prices/3").headers["etag"]


def test_what_a_load_found_is_among_the_keys(shop: Shop) -> None:
    """A tag that only the load knows, and the tags of queries within it, purge the page; owners bar it."""
    namespace = shop.namespace

    @namespace.cached(ttl=600, name="report", version="1")
    def report(month: int) -> list[int]:
        namespace.tag("found")
        return shop.prices(month)

    @namespace.cached(ttl=600, name="mine", version="1")
    def mine(month: int) -> list[int]:
        return shop.orders(month)

    app = FastAPI()
    app.add_middleware(Caching)
    app.add_api_route("/report", lambda: read(report.bind(3)))
    app.add_api_route("/mine", lambda: read(mine.bind(3)))
    get = _get_asgi(app)

    keys = get("/report").headers["surrogate-key"].split()
    assert {f"{namespace.namespace}/g:{tag}" for tag in ("found", "month:3")} <= set(keys)
    assert get("/mine").headers["cache-control"] == "private, no-cache"


def test_a_near_copy_that_may_be_older_than_the_last_purge_is_kept_by_nobody(shop: Shop) -> None:
    """A query with near= above purge_again is not for shared caches, and browsers ask as ever."""
    app = FastAPI()
    app.add_middleware(Caching)
    for near in (2, 10):
        query = shop.namespace.cached(ttl=600, name=f"near{near}", version="1", near=near)(_three)
        app.add_api_route(f"/{near}", functools.partial(read, query.bind()))
    get = _get_asgi(app)

    assert get("/2").headers["surrogate-control"].startswith("max-age=")
    assert get("/10").headers["surrogate-control"] == "no-store"
    assert get("/10").headers["cache-control"] == "public, no-cache"


def _three() -> int:
    return 3


def test_django_serves_async_views_alike(shop: Shop) -> None:
    """Under ASGI the same middleware answers, and acts for whom the session says."""
    _django(shop)
    from django.core.asgi import get_asgi_application

    get = _get_asgi(get_asgi_application())
    first = get("/async/prices/3")

    assert first.headers["cache-control"] == "public, no-cache"
    assert get("/async/prices/3", headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    assert get("/async/orders/1").status_code == 403
    get("/login")
    assert get("/async/orders/1").json() == [1]
    assert get("/async/orders/2").status_code == 403


@pytest.mark.parametrize("serve", ["fastapi", "django"])
def test_what_a_stream_reads_is_refused(shop: Shop, serve: str) -> None:
    """As above, where the framework streams by itself."""

    def pieces() -> Iterator[str]:
        for month in (1, 2):
            yield str(read(shop.prices.bind(month)))

    if serve == "django":
        get = _django(shop)
        shop.stream = pieces
    else:
        app = FastAPI()
        app.add_middleware(Caching)
        app.add_api_route("/stream", lambda: StreamingResponse(pieces()))
        get = _get_asgi(app)

    with pytest.raises(HeadersSent):
        contextvars.copy_context().run(get, "/stream")


def test_what_is_read_after_the_headers_is_refused(shop: Shop) -> None:
    """A generator that reads while it streams would show what the headers do not say."""
    app = Flask("shop")

    @app.get("/")
    def page() -> Any:
        return (str(read(shop.prices.bind(month))) for month in (1, 2))

    flask.Caching(app)
    app.testing = True

    with pytest.raises(HeadersSent):
        _get_wsgi(app)("/")


def test_what_was_overtaken_while_it_loaded_is_kept_by_nobody(shop: Shop) -> None:
    """A reader gets its value although an invalidation refused the commit; no cache may keep that page."""
    app, namespace = FastAPI(), shop.namespace
    overtaken: list[int] = []

    @namespace.cached(ttl=600, name="stock", version="1")
    def stock(month: int) -> int:
        if not overtaken:
            overtaken.append(stock.invalidate(month))
        return month

    @app.get("/")
    def page() -> int:
        return read(stock.bind(3))

    app.add_middleware(Caching)
    get = _get_asgi(app)
    first, second = get("/"), get("/")

    assert (first.json(), first.headers["surrogate-control"]) == (3, "no-store")
    assert second.headers["surrogate-control"].startswith("max-age=")


def test_outside_of_a_request_it_is_a_plain_read(shop: Shop) -> None:
    """Code that reads for pages runs in a script, too."""
    assert read(shop.prices.bind(3)) == [3, 5]
