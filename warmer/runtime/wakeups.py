"""Wake-ups: a commit anywhere tells those who wait for that entry to read again."""

from __future__ import annotations

import threading
from collections.abc import Callable

from redis.exceptions import RedisError

from warmer.errors import ServerError
from warmer.runtime.incidents import Incidents
from warmer.store.connections import Connections


class Wakeups:
    """Listens to the shards' wake channels on a connection and a thread of its own, from the first wait on.

    on_wake(shard, member) is called in that thread; on_gap() after messages may have been missed.
    """

    def __init__(
        self,
        connections: Connections,
        roots: list[bytes],
        on_wake: Callable[[int, str], None],
        on_gap: Callable[[], None],
        incidents: Incidents,
    ) -> None:
        self._incidents = incidents
        self._connections = connections
        self._channels = {root + b"wake": shard for shard, root in enumerate(roots)}
        self._on_wake, self._on_gap = on_wake, on_gap
        self._stopping = threading.Event()
        self._listening = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def listen(self, timeout_s: float) -> bool:
        """Make sure that wake-ups are heard, waiting for it at most `timeout_s`; False: poll instead."""
        if self._listening.is_set():
            return True
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="warmer-wakeups", daemon=True)
                self._thread.start()
        return self._listening.wait(timeout_s)

    def stop(self) -> None:
        """Stop listening."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen_once()
            except (RedisError, ServerError, OSError) as exc:
                if not self._stopping.is_set():
                    self._incidents.note("wakeups_lost", "wake-ups are not heard, who waits polls: %s", exc)
            self._listening.clear()
            self._on_gap()
            self._stopping.wait(0.2)

    def _listen_once(self) -> None:
        connection = self._connections.dedicated()
        try:
            connection.send_command("SUBSCRIBE", *self._channels)
            for _ in self._channels:
                connection.read_response(disable_decoding=True)
            self._listening.set()
            self._on_gap()
            while not self._stopping.is_set():
                if not connection.can_read(timeout=1.0):
                    continue
                kind, channel, member = connection.read_response(disable_decoding=True)
                if kind == b"message":
                    self._on_wake(self._channels[channel], member.decode("utf-8", "surrogatepass"))
        finally:
            connection.disconnect()
