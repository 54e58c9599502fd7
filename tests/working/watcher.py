"""Watches workers as Flower does: through Celery's events."""

from __future__ import annotations

import threading
from typing import Any

from warmer import Warmer
from warmer.testing import wait_until


class Watcher:
    """Collects the events of a namespace's workers (those that were started with -E)."""

    def __init__(self, flights: Warmer) -> None:
        self.events: list[dict[str, Any]] = []
        self._app = flights.celery
        self._ready = threading.Event()
        self._receiver: Any = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watcher:
        self._thread.start()
        assert self._ready.wait(10)
        # A subscription begins when the receiver first reads: what is published before that is not heard.
        with self._app.events.default_dispatcher() as dispatcher:
            wait_until(lambda: dispatcher.send("watcher-heard") or self.events, "the watcher to hear itself")
        return self

    def __exit__(self, *_: object) -> None:
        self._receiver.should_stop = True
        self._thread.join(10)

    def seen(self, kind: str, task: str) -> dict[str, Any]:
        """Wait for an event of this kind about a task of this name."""

        def found() -> dict[str, Any] | None:
            ids = {event["uuid"] for event in self.events if event.get("name") == task}
            return next((e for e in self.events if e["type"] == kind and e.get("uuid") in ids), None)

        event = wait_until(found, timeout_s=20, description=f"the event {kind} of {task}")
        assert event is not None
        return event

    def _run(self) -> None:
        with self._app.connection_for_read() as connection:
            self._receiver = self._app.events.Receiver(connection, handlers={"*": self.events.append})
            self._receiver.on_consume_ready = lambda *_, **__: self._ready.set()
            self._receiver.capture(limit=None, timeout=None, wakeup=False)
