"""For Flask, a line each:

Caching(app)
Identity(app, user_id=lambda: session.get("user_id"))
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from flask import Flask, g

from warmer.http import wsgi
from warmer.http.acting import acting


class Caching:
    """Responses get the headers that follow from the entries that `warmer.http.read` read.

    version: of your pages; see `warmer.http.answer`.
    """

    def __init__(self, app: Flask, *, version: str = "") -> None:
        # Around the whole of it: Flask writes its session's cookie after all of its own hooks.
        app.wsgi_app = wsgi.Caching(app.wsgi_app, version=version)  # type: ignore[method-assign]


class Identity:
    """Requests are served as within `identity(...)` of the namespace.

    owner: for each scope a function that says, within the request, for whom it acts; called when a query of
    that scope is first read. None means nobody: no entry of the scope can be read then.
    """

    def __init__(self, app: Flask, **owner: Callable[[], object]) -> None:
        self._owner = owner
        app.before_request(self._enter)
        app.teardown_request(self._leave)

    def _enter(self) -> None:
        g._warmer_identity = stack = ExitStack()
        stack.enter_context(acting(self._owner))

    def _leave(self, _: BaseException | None) -> None:
        stack = g.pop("_warmer_identity", None)
        if stack is not None:
            stack.close()


__all__ = ["Caching", "Identity"]
