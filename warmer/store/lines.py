"""Reads from asyncio: one connection an event loop, and what is wanted in one turn of the loop goes together.

A link of the pool is connected on a thread, as for everybody, and counts as any other; then the loop itself
watches its socket. Readers of one key share one GET, for all of them began before it was sent. Replies come
in the order of the commands, so a reader that is cancelled leaves its place: its reply is read and dropped. A
reply that is late costs the connection, and with it all that was to come on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import CancelledError, Future
from typing import Any

from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import InvalidResponse
from redis.exceptions import TimeoutError as TimedOut

from warmer.errors import ServerError
from warmer.settings import Settings
from warmer.store.asking import Answer, Asked
from warmer.store.connections import Connections
from warmer.store.links import MORE, Link, fault_of

Submit = Callable[..., Future[Any]]

CLOSED = "the connection was closed by this process"
# So many wait for no more of their turn: the server answers them while the others are asked for. With one
# write for fifty, it and the readers waited for each other in turn, up to a twelfth of the whole time.
AT_ONCE = 20
_running_loop = asyncio.get_running_loop
_NOT_NOW = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Line:
    """The connection of one event loop. Everything here runs in the loop's thread, but for `_ready`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connections: Connections,
        submit: Submit,
        timeout_s: float,
        gone: Callable[[asyncio.AbstractEventLoop], None],
    ) -> None:
        self._loop, self._connections, self._submit = loop, connections, submit
        self._timeout_s, self._gone = timeout_s, gone
        self._link: Link | None = None
        self._fd = -1  # of the socket that the loop watches
        self._wanted: dict[bytes, Asked] = {}  # to be sent at the end of this turn
        self._sent: deque[Asked] = deque()
        self._unsent = b""
        self._blocked = False  # the socket takes no more for now
        self._timer: asyncio.TimerHandle | None = None
        self._opening = self._closed = False
        self._end = self._until_the_loop_ends()
        with contextlib.suppress(StopIteration):
            self._end.__anext__().send(None)

    def call(self, packed: bytes) -> asyncio.Future[Answer]:
        """The answer to one read-only command.

        It is sent once those who are ready to run have asked, too, or so many that it pays to begin.
        """
        asked = Asked(loop=self._loop)
        asked.packed, asked.wake, asked.also, asked.again = packed, None, None, False
        wanted = self._wanted
        first = wanted.setdefault(packed, asked)
        if first is not asked:
            first.join(asked)
        elif len(wanted) == 1:
            if not self._opening:
                self._loop.call_soon(self._flush)
        elif len(wanted) == AT_ONCE:
            self._flush()
        return asked

    def close(self) -> None:
        """Give the connection back, closed; who still waits is told that the server is away."""
        if self._closed:
            return
        self._closed = True
        self._gone(self._loop)
        self._unwatch()
        if not self._opening:  # else whoever opens it sees that it is closed
            self._give_back()
        if not self._loop.is_closed():
            self._fail(Disconnected(CLOSED))

    # -- sending

    def _flush(self) -> None:
        if self._opening or not self._wanted:
            return
        if self._fd < 0 or self._link is None or self._link.round != self._connections.round:
            self._open()
            return
        wanted, self._wanted = self._wanted, {}
        if any(map(Asked.done, wanted.values())):
            wanted = {packed: one for packed, one in wanted.items() if not one.given_up}
        deadline = self._loop.time() + self._timeout_s
        for one in wanted.values():
            one.deadline = deadline
        self._sent.extend(wanted.values())
        self._unsent += b"".join(wanted)
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout_s, self._check)
        if self._unsent and not self._blocked:
            self._write()

    def _write(self) -> None:
        assert self._link is not None
        assert self._link.sock is not None
        try:
            self._unsent = self._unsent[self._link.sock.send(self._unsent) :]
        except _NOT_NOW:
            pass
        except OSError as exc:
            self._lose(exc)
            return
        if bool(self._unsent) == self._blocked:
            return
        self._blocked = bool(self._unsent)
        if self._blocked:
            self._loop.add_writer(self._fd, self._write)
        else:
            self._loop.remove_writer(self._fd)

    # -- receiving

    def _readable(self) -> None:
        link = self._link
        fault: Exception | None = None
        assert link is not None
        assert link.sock is not None
        try:
            while True:
                taken = link.sock.recv_into(link.buffer)
                if not taken:
                    raise Disconnected("the server closed the connection")
                link.reader.feed(link.buffer, 0, taken)
                if not isinstance(link.sock, ssl.SSLSocket):
                    break  # more is told by the loop; TLS may hold some back that the loop can't see
        except _NOT_NOW:
            pass
        except (OSError, Disconnected) as exc:
            fault = exc
        fault = self._deliver(link) or fault
        if self._closed:
            return  # by a reader that has just been answered
        if fault is not None:
            self._lose(fault)
        elif link.round != self._connections.round and not self._sent:
            self._flush()  # which has waited for the last reply of the earlier round

    def _deliver(self, link: Link) -> Exception | None:
        """Answer with what is here; what is wrong with the connection, if it can't go on."""
        sent, gets, life = self._sent, link.reader.gets, link.life
        try:
            while sent:
                try:
                    reply = gets(False)
                except InvalidResponse as exc:
                    return exc
                if reply is MORE:
                    return None
                if type(reply) is not bytes and isinstance(reply, Disconnected):
                    return reply  # it is loading its data, or has lost its primary
                one = sent.popleft()
                wake = one.wake
                if wake is None or one.also is not None:
                    one.answer((reply, life))
                    continue
                # What `answer` does for one task that waits, in no frame of its own.
                one.wake = None
                one.set_result((reply, life))
                one.context.run(wake, one)
        except BaseException:  # a reader ends the program: the others are told if the loop runs on
            self._loop.call_soon(self._deliver_rest, link)
            raise
        return None

    def _deliver_rest(self, link: Link) -> None:
        if link is self._link and link.sock is not None:
            fault = self._deliver(link)
            if fault is not None:
                self._lose(fault)

    def _check(self) -> None:
        """Whether the oldest reply is late."""
        self._timer = None
        if not self._sent:
            return
        left_s = self._sent[0].deadline - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._check)
        else:
            self._lose(TimedOut(f"no reply within {self._timeout_s:g} s"))

    def _lose(self, exc: Exception) -> None:
        """The connection is of no use any more. What was cut off in mid-air is sent once more on the next."""
        self._unwatch()
        assert self._link is not None
        self._link.disconnect()
        fault = fault_of(exc) or exc
        late, again = isinstance(fault, TimedOut), {}
        for one in self._sent:
            if late or one.again:
                one.answer_soon((self._connections.unreachable(fault), b""))
            else:
                one.again = True
                again[one.packed] = one
        self._sent.clear()
        self._unsent = b""
        for packed, one in again.items():
            newer = self._wanted.pop(packed, None)
            for reader in () if newer is None else (newer, *(newer.also or ())):
                one.join(reader)
        self._wanted = {**again, **self._wanted}
        if self._wanted:
            self._loop.call_soon(self._flush)

    def _fail(self, exc: BaseException) -> None:
        error = exc if isinstance(exc, ServerError) else self._connections.lost(exc)
        failed, self._wanted = [*self._sent, *self._wanted.values()], {}
        self._sent.clear()
        for one in failed:
            one.answer_soon((error, b""))

    # -- connecting

    def _open(self) -> None:
        """Connect on a thread: a name that must be looked up, or a handshake, holds nobody up."""
        if self._sent:
            return  # of an earlier round, and about to be answered: goes on then
        self._opening = True
        self._unwatch()
        try:
            opening = self._submit(self._ready, self._link)
        except RuntimeError as closed:
            self._opening = False
            self._fail(closed)
            return
        opening.add_done_callback(self._tell)

    def _ready(self, link: Link | None) -> Link:
        """On a thread: a link that is connected. Raises ServerError."""
        if link is None:
            return self._connections.take()
        self._connections.reconnect(link)
        return link

    def _tell(self, opening: Future[Link]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._opened, opening)
        except RuntimeError:  # the loop has ended meanwhile
            with contextlib.suppress(ServerError, CancelledError):
                self._link = opening.result()
            self._give_back()

    def _opened(self, opening: Future[Link]) -> None:
        self._opening = False
        fault: BaseException | None = Disconnected(CLOSED) if self._closed else None
        try:
            self._link = opening.result()
        except (ServerError, CancelledError) as exc:
            fault = exc
        if self._closed:
            self._give_back()
        if fault is not None:
            self._fail(fault)
            return
        link = self._link
        assert link is not None
        assert link.sock is not None
        self._fd = link.sock.fileno()
        link.sock.setblocking(False)
        self._loop.add_reader(self._fd, self._readable)
        self._flush()

    def _give_back(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.disconnect()
            self._connections.give(link)

    def _unwatch(self) -> None:
        if self._fd >= 0 and not self._loop.is_closed():
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
        self._fd, self._blocked = -1, False

    async def _until_the_loop_ends(self) -> AsyncGenerator[None, None]:
        """Whoever ends a loop in order closes what it still generates: here, the line."""
        try:
            yield
        finally:
            self.close()


class Lines:
    """The lines of a process. They hold half of its connections at most, so that scripts find some, too."""

    def __init__(self, connections: Connections, submit: Submit, settings: Settings) -> None:
        self._connections, self._submit, self._breaker = connections, submit, connections.breaker
        self._timeout_s, self._most = settings.command_timeout, settings.max_connections // 2
        self._lines: dict[asyncio.AbstractEventLoop, Line] = {}
        self._lock = threading.Lock()

    def call(self, packed: bytes) -> Awaitable[Answer]:
        """The answer to one read-only command, in the running loop; a server that is away is an answer."""
        loop = _running_loop()
        line = self._lines.get(loop)
        if line is not None and not self._breaker.open:
            return line.call(packed)
        if self._breaker.open:
            told: asyncio.Future[Answer] = loop.create_future()
            told.set_result((self._breaker.refusal(), b""))
            return told
        line = self._begin(loop)
        if line is None:
            return asyncio.wrap_future(self._submit(self._on_thread, packed))
        return line.call(packed)

    def close(self) -> None:
        """Close every line, each in its own loop's thread."""
        for loop, line in list(self._lines.items()):
            if not loop.is_running() or _is_running_here(loop):
                line.close()
                continue
            with contextlib.suppress(RuntimeError):  # it has just ended, and has closed its line
                loop.call_soon_threadsafe(line.close)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> Line | None:
        with self._lock:
            for ended in [other for other in self._lines if other.is_closed()]:
                self._lines[ended].close()
            if len(self._lines) >= self._most:
                return None
            line = Line(loop, self._connections, self._submit, self._timeout_s, self._gone)
            self._lines[loop] = line
            return line

    def _gone(self, loop: asyncio.AbstractEventLoop) -> None:
        self._lines.pop(loop, None)

    def _on_thread(self, packed: bytes) -> Answer:
        try:
            return self._connections.get(packed)
        except ServerError as away:
            return away, b""


def _is_running_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
