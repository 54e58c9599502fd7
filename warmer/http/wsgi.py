"""The adapter for WSGI applications: Flask and others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any

from warmer.http.page import Page, current

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


class Caching:
    """Middleware: responses get the headers that follow from the entries that `warmer.http.read` read.

    version: of your pages; see `warmer.http.answer`. In Flask: `app.wsgi_app = Caching(app.wsgi_app)`, which
    is what `warmer.http.flask.Caching(app)` does.
    """

    def __init__(self, app: WSGIApplication, *, version: str = "") -> None:
        self._app = app
        self._version = version

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        answering = _Answering(Page(), environ, start_response, self._version)
        current.set(answering.page)
        try:
            answering.content = self._app(environ, answering.start)
        except BaseException:
            current.set(None)
            raise
        return answering


class _Answering:
    """One response: a page is noted until it is closed, as its content may be made while it is sent."""

    def __init__(self, page: Page, environ: WSGIEnvironment, start: StartResponse, version: str) -> None:
        self.page = page
        self.content: Iterable[bytes] = ()
        self._environ, self._start, self._version = environ, start, version
        self._emptied = False

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None, /) -> Any:
        """In place of the server's start_response."""
        code = int(status[:3])
        asked = {
            name[5:].replace("_", "-").lower(): value
            for name, value in self._environ.items()
            if name.startswith("HTTP_")
        }
        method = self._environ["REQUEST_METHOD"]
        answered, headers = self.page.answer(method, asked, code, headers, self._version)
        if answered != code:
            self._emptied = True
            status = f"{answered} {HTTPStatus(answered).phrase}"
        write = self._start(status, headers, exc_info)
        return (lambda _: None) if self._emptied else write

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self.content:  # even if it is thrown away: some applications only begin here
                if not self._emptied:
                    yield piece
        finally:
            current.set(None)

    def close(self) -> None:
        """The server is done with it."""
        current.set(None)
        close = getattr(self.content, "close", None)
        if close is not None:
            close()
