"""The adapter for ASGI applications: Starlette, FastAPI and others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from warmer.http.answer import Headers
from warmer.http.page import Page, current

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Caching:
    """Middleware: responses get the headers that follow from the entries that `warmer.http.read` read.

    version: of your pages; see `warmer.http.answer`. Put it outside of what sets cookies (in Starlette, add
    it last): a response with a cookie is for one person.
    """

    def __init__(self, app: App, *, version: str = "") -> None:
        self._app = app
        self._version = version

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        token = current.set(page := Page())
        try:
            await self._app(scope, receive, _Answering(page, scope, send, self._version).send)
        finally:
            current.reset(token)


class _Answering:
    """What one response passes through."""

    def __init__(self, page: Page, scope: Message, send: Send, version: str) -> None:
        self._page, self._scope, self._send, self._version = page, scope, send, version
        self._emptied = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message = self._started(message)
        elif self._emptied and message["type"] in {"http.response.body", "http.response.pathsend"}:
            if message.get("more_body"):
                return
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    def _started(self, message: Message) -> Message:
        status, headers = self._page.answer(
            self._scope["method"],
            dict(_texts(self._scope["headers"])),
            message["status"],
            _texts(message.get("headers", ())),
            self._version,
        )
        self._emptied = status == 304 and message["status"] != 304
        written = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return {**message, "status": status, "headers": written}


def _texts(headers: Any) -> Headers:
    return [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers]
