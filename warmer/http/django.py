"""For Django, a line each in MIDDLEWARE:

    "warmer.http.django.caching"            # first: outside of what sets cookies
    "shop.middleware.acts_for"              # after what it asks; in shop/middleware.py:

    acts_for = identity(user_id=lambda request: request.user.pk)

WARMER_PAGES_VERSION in the settings is the version of your pages; see `warmer.http.answer`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponseNotModified
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from warmer.http.acting import acting
from warmer.http.page import Page, current

Respond = Callable[[HttpRequest], Any]
Middleware = Callable[[Respond], Respond]


def _caching(get_response: Respond) -> Respond:
    if iscoroutinefunction(get_response):

        async def arespond(request: HttpRequest) -> HttpResponseBase:
            token, response = current.set(page := Page()), None
            try:
                response = _answered(page, request, await get_response(request))
                return response
            finally:
                # What is read while it streams must be refused, not go unnoted.
                if response is None or not response.streaming:
                    current.reset(token)

        return arespond

    def respond(request: HttpRequest) -> HttpResponseBase:
        token, response = current.set(page := Page()), None
        try:
            response = _answered(page, request, get_response(request))
            return response
        finally:
            if response is None or not response.streaming:  # see above
                current.reset(token)

    return respond


#: Responses get the headers that follow from the entries that `warmer.http.read` read.
caching: Middleware = sync_and_async_middleware(_caching)


def identity(**owner: Callable[[HttpRequest], object]) -> Middleware:
    """A middleware that serves requests as within `identity(...)` of the namespace.

    owner: for each scope a function from the request to the identity that it acts for; called when a query of
    that scope is first read. None means nobody: no entry of the scope can be read then.
    """

    def acts(request: HttpRequest) -> Any:
        return acting({name: functools.partial(find, request) for name, find in owner.items()})

    def identifying(get_response: Respond) -> Respond:
        if iscoroutinefunction(get_response):

            async def arespond(request: HttpRequest) -> HttpResponseBase:
                with acts(request):
                    response: HttpResponseBase = await get_response(request)
                    return response

            return arespond

        def respond(request: HttpRequest) -> HttpResponseBase:
            with acts(request):
                response: HttpResponseBase = get_response(request)
                return response

        return respond

    made: Middleware = sync_and_async_middleware(identifying)
    return made


def _answered(page: Page, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    cookies = response.cookies
    headers = [*response.items(), *(("Set-Cookie", one.OutputString()) for one in cookies.values())]
    asked = {name.lower(): value for name, value in request.headers.items()}
    version = str(getattr(settings, "WARMER_PAGES_VERSION", ""))
    status, answered = page.answer(request.method or "", asked, response.status_code, headers, version)
    if status != response.status_code:
        response.close()
        response = HttpResponseNotModified()
        response.cookies = cookies
    for name, value in answered:
        if name.lower() != "set-cookie":
            response[name] = value
    return response


__all__ = ["caching", "identity"]
