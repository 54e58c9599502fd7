"""Running the scripts of warmer/lua on a link: one EVALSHA each, loaded again where the server forgot it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import TimeoutError as TimedOut

from warmer import lua
from warmer.core.keys import MAX_KEY_BYTES
from warmer.errors import RedisRefused, RedisUnreachable, mask
from warmer.store.connections import Connections
from warmer.store.links import Link

Argument = bytes | str | int


def pack(*parts: Argument) -> bytes:
    """A command as the server reads it."""
    out = [b"*%d\r\n" % len(parts)]
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass")
        out.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(out)


# What stands before a key in a GET, by the key's length: an entry's key has no more bytes than these.
_GETS = tuple(b"*2\r\n$3\r\nGET\r\n$%d\r\n" % size for size in range(MAX_KEY_BYTES + 1))


def packed_get(key: bytes) -> bytes:
    """`pack("GET", key)` of an entry's key, for the read path."""
    return _GETS[len(key)] + key + b"\r\n"


def packed_front(key: bytes, size: int) -> bytes:
    """The command for the first bytes of an entry's blob."""
    return pack("GETRANGE", key, 0, size - 1)


@dataclass(frozen=True, slots=True)
class Call:
    """A script with its shard's root and arguments; without a name, the arguments are a plain command."""

    name: str
    root: bytes
    args: Sequence[Argument]

    def packed(self, life: bytes, source: bool = False, server: bytes = b"") -> bytes:
        """As the server reads it from a connection that knows this life, of this server."""
        if not self.name:
            return pack(*self.args)
        command, text = ("EVAL", lua.source(self.name)) if source else ("EVALSHA", lua.sha1(self.name))
        told = (server,) if self.name in lua.TELLS_SERVER else ()
        return pack(command, text, 1, self.root, life, *self.args, *told)

    @property
    def title(self) -> str:
        """What an error calls it."""
        return f"{self.name}.lua" if self.name else str(self.args[0])


class Scripts:
    """Runs a script under the life that its connection knows: no reply crosses a restart unseen."""

    def __init__(self, connections: Connections, url: str) -> None:
        self._connections = connections
        self._url = mask(url)
        self._seen = threading.local()

    @contextlib.contextmanager
    def seeing(self) -> Iterator[set[bytes]]:
        """The lives in which what this thread does within it was said or asked: more than one are not one."""
        outer, seen = getattr(self._seen, "lives", None), set[bytes]()
        self._seen.lives = seen
        try:
            yield seen
        finally:
            self._seen.lives = outer
            if outer is not None:
                outer |= seen

    def _see(self, life: bytes) -> None:
        seen = getattr(self._seen, "lives", None)
        if seen is not None:
            seen.add(life)

    def run(self, name: str, root: bytes, args: list[Argument]) -> Any:
        """Run script `name` on the shard at `root`.

        A cut connection is opened again and the script repeated once: each script gives the same answer to
        the same token. Raises RedisUnreachable, RedisRefused (out of memory, no permission, read only).
        """
        return self.run_all([Call(name, root, args)])[0]

    def run_all(self, calls: Sequence[Call]) -> list[Any]:
        """Run these in one round trip, in order; the same holds for each as for `run`."""
        replies: list[Any] = [None] * len(calls)
        link = self._connections.take()
        try:
            self._repeated(link, calls, replies)
        except (Disconnected, TimedOut) as exc:
            link.disconnect()
            raise self._connections.unreachable(exc) from exc
        except RedisRefused:
            raise
        except BaseException:
            link.disconnect()
            raise
        finally:
            self._connections.give(link)
        for call, reply in zip(calls, replies, strict=True):
            if isinstance(reply, ResponseError):
                raise self.refused(call.title, reply) from reply
        return replies

    def _repeated(self, link: Link, calls: Sequence[Call], replies: list[Any]) -> None:
        left = list(range(len(calls)))
        for attempt in (1, 2, 3):
            try:
                left = self._call(link, calls, left, replies)
            except Disconnected:
                if attempt == 3:
                    raise
            else:
                if not left or attempt == 3:
                    return
                # The server has been restarted or promoted under us: learn its life, and say it again.
                self._connections.look_again()
            self._connections.reconnect(link)

    def _call(self, link: Link, calls: Sequence[Call], which: list[int], replies: list[Any]) -> list[int]:
        """Run some of the calls; which of them were turned away for an earlier life."""

        def send(some: list[int], source: bool) -> None:
            self._see(link.life)
            answers = link.call_all([calls[at].packed(link.life, source, link.server) for at in some])
            for at, answer in zip(some, answers, strict=True):
                replies[at] = answer

        send(which, False)
        unknown = [at for at in which if isinstance(replies[at], NoScriptError)]
        if unknown:
            send(unknown, True)
        return [at for at in which if _turned_away(replies[at]) or self.has_moved(replies[at])]

    def command(self, *parts: Argument) -> Any:
        """One plain command that may be repeated. Raises RedisUnreachable, RedisRefused."""
        reply, life = self._connections.get(pack(*parts))
        if self.has_moved(reply):
            self._connections.look_again()
            reply, life = self._connections.get(pack(*parts))
        self._see(life)
        if isinstance(reply, ResponseError):
            raise self.refused(str(parts[0]), reply)
        return reply

    def has_moved(self, reply: Any) -> bool:
        """Whether a node of a followed cluster says that the slot is somewhere else."""
        return isinstance(reply, MovedError) and self._connections.in_cluster

    def refused(self, command: str, reply: Any) -> RedisRefused | RedisUnreachable:
        """The error for an error reply."""
        if self._connections.in_cluster and isinstance(reply, _UNDER_WAY):
            # Its keys are partly there and partly elsewhere, and a script needs all of them.
            said = f"{type(reply).__name__}: {reply}"
            return self._connections.lost(Disconnected(f"the slot is under way, or nobody has it: {said}"))
        moved = "MOVED to " if isinstance(reply, AskError) else ""  # redis-py leaves the word out
        return RedisRefused(self._url, command, f"{moved}{reply}")


#: What nodes answer while a slot is moved key by key, or its primary is replaced.
_UNDER_WAY = (AskError, TryAgainError, ClusterDownError)


def _turned_away(reply: Any) -> bool:
    """The connection knows an earlier life, or leads to what has become a replica."""
    return isinstance(reply, ReadOnlyError) or (
        isinstance(reply, ResponseError) and "WARMERLIFE" in str(reply)
    )
