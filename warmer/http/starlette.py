"""For Starlette and FastAPI, a line each:

app.add_middleware(Caching)
app.add_middleware(Identity, user_id=lambda request: request.session.get("user_id"))
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from starlette.requests import HTTPConnection

from warmer.http.acting import acting
from warmer.http.asgi import App, Caching, Message, Receive, Send


class Identity:
    """Middleware: requests and websockets are served as within `identity(...)` of the namespace.

    owner: for each scope a function from the request to the identity that it acts for; called when a query of
    that scope is first read. None means nobody: no entry of the scope can be read then. Add it before the
    middleware that it gets this from (what is added last runs first).
    """

    def __init__(self, app: App, /, **owner: Callable[[HTTPConnection], object]) -> None:
        self._app, self._owner = app, owner

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request or websocket."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        request = HTTPConnection(scope)
        with acting({name: functools.partial(find, request) for name, find in self._owner.items()}):
            await self._app(scope, receive, send)


__all__ = ["Caching", "Identity"]
