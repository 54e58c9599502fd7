"""The connection on which the server says which entries have changed.

RESP3 client tracking in broadcast mode, with the stems of the near queries as prefixes: one connection a
process hears of every write to them by anybody, whichever connection read them, and the server keeps no
table of who read what. The alternatives fall short: tracking without BCAST would have to be redirected from
each connection of the read path, and ends unseen when the one that it is redirected to does; pub/sub would
need a PUBLISH in every script, and would miss evictions, FLUSHALL and whatever is done by hand; redis-py's
own client-side cache refuses Valkey. A message leaves the server before the reply to whoever wrote.

All that is sent and received on the connection is sent and received by one thread. A PING's answer is a
barrier: what the server did before has been heard of by then.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections import deque
from collections.abc import Collection
from typing import Any, Protocol

from redis.connection import Connection
from redis.exceptions import RedisError, ResponseError

from warmer.errors import RedisRefused, ServerError
from warmer.near.bell import Bell
from warmer.store.connections import Connections

log = logging.getLogger("warmer")

# A connection that is only silent is told from one that is dead by asking it this often.
PING_EVERY_S = 1.0
RETRY_S = 0.2
# What a server refuses (an ACL without CLIENT, a proxy without tracking) it will refuse for a while.
REFUSED_S = 5.0
# At the end of the process, its thread has so long to end.
PATIENCE_S = 2.0


class Listener(Protocol):
    """Who is told; always on the tracking thread."""

    def heard_from(self, life: bytes, stems: frozenset[bytes]) -> None:
        """The connection is made, in this life of the server: writes under these stems are heard of."""

    def changed(self, keys: Collection[bytes] | None) -> None:
        """These entries have changed; None: all of them."""

    def caught_up(self, asked: int) -> None:
        """Everything that happened before `ask_to_catch_up(asked)` has been heard of."""

    def lost(self) -> None:
        """The connection is gone, and messages with it."""


class Tracking:
    """Listens on a thread of its own, from the first `want` on."""

    def __init__(self, connections: Connections, listener: Listener) -> None:
        self._connections, self._listener = connections, listener
        self._wanted: frozenset[bytes] = frozenset()
        self._asked = self._answered = 0
        self._messages: deque[Any] = deque()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._bell: Bell | None = None
        self._refused = self._stale = False

    def want(self, stems: Collection[bytes]) -> None:
        """Hear of writes to keys that begin like this, too."""
        with self._lock:
            if self._stopping.is_set():
                return
            self._wanted |= frozenset(stems)
            if self._thread is None:
                self._bell = Bell()
                run = functools.partial(self._run, self._bell)
                self._thread = threading.Thread(target=run, name="warmer-near", daemon=True)
                self._thread.start()
        self._wake()

    def renew(self) -> None:
        """Leave the connection for a new one."""
        self._stale = True
        self._wake()

    def ask_to_catch_up(self, asked: int) -> None:
        """Have the listener told when all that has happened until now was heard of. Numbers only grow."""
        self._asked = asked
        self._wake()

    def stop(self) -> None:
        """Stop listening, and wait for the thread, but not for a server that does not answer."""
        with self._lock:
            self._stopping.set()
        self._wake()
        if self._thread is not None:
            self._thread.join(PATIENCE_S)

    def _wake(self) -> None:
        if self._bell is not None:
            self._bell.ring()

    def _run(self, bell: Bell) -> None:
        while not self._stopping.is_set():
            pause_s = RETRY_S
            try:
                self._listen_once(bell)
            except (ResponseError, RedisRefused) as exc:
                pause_s = REFUSED_S
                self._say_refused(exc)
            except (RedisError, ServerError, OSError) as exc:
                log.debug("near copies were dropped: %s", exc)
            self._messages.clear()
            self._listener.lost()
            self._stopping.wait(pause_s)
        bell.close()

    def _say_refused(self, exc: Exception) -> None:
        if not self._refused:
            log.warning("near copies are off: the server refuses to say what changes (%s)", exc)
        self._refused = True

    def _listen_once(self, bell: Bell) -> None:
        self._stale = False
        connection = self._connections.dedicated(protocol=3, client_name="warmer-near")
        tracked: frozenset[bytes] = frozenset()
        try:
            # A handler must not raise: redis-py would log that and go on.
            connection._parser.set_invalidation_push_handler(self._messages.append)
            while not (self._stopping.is_set() or self._stale):
                if tracked != self._wanted:
                    tracked = self._track(connection, self._wanted, tracked)
                    life = self._connections.life_of(connection)
                    self._pass_on()
                    self._listener.heard_from(life, tracked)
                if self._answered < self._asked:
                    self._catch_up(connection)
                self._wait(connection, bell)
        finally:
            connection.disconnect()

    def _track(
        self, connection: Connection, wanted: frozenset[bytes], tracked: frozenset[bytes]
    ) -> frozenset[bytes]:
        prefixes = [part for stem in sorted(wanted - tracked) for part in (b"PREFIX", stem)]
        connection.send_command("CLIENT", "TRACKING", "ON", "BCAST", *prefixes)
        connection.read_response()
        self._refused = False
        return wanted

    def _wait(self, connection: Connection, bell: Bell) -> None:
        """Pass on what comes, until somebody wants something; ask for a sign of life after a silence."""
        line: Any = connection._sock
        quiet_since = time.monotonic()
        while not self._stopping.is_set():
            silent_s = time.monotonic() - quiet_since
            waiting = connection.can_read(timeout=0)  # in redis-py's own buffer, too
            if waiting:
                connection.read_response(disable_decoding=True, push_request=True)
                self._pass_on()
            elif silent_s >= PING_EVERY_S:
                self._catch_up(connection)
            if waiting or silent_s >= PING_EVERY_S:
                quiet_since, silent_s = time.monotonic(), PING_EVERY_S
            if bell.listen(line, PING_EVERY_S - silent_s):
                return

    def _catch_up(self, connection: Connection) -> None:
        asked = self._asked
        connection.send_command("PING", check_health=False)
        connection.read_response(disable_decoding=True)
        self._pass_on()
        self._answered = asked
        self._listener.caught_up(asked)

    def _pass_on(self) -> None:
        while self._messages:
            self._listener.changed(self._messages.popleft()[1])
