"""Running the scripts of warmer/lua on a link: one EVALSHA each, loaded again where the server forgot it."""

from __future__ import annotations

from typing import Any

from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import NoScriptError, ResponseError
from redis.exceptions import TimeoutError as TimedOut

from warmer import lua
from warmer.errors import RedisRefused, mask
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


def packed_get(key: bytes) -> bytes:
    """`pack("GET", key)`, for the read path."""
    return b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(key), key)


class Scripts:
    """Runs a script under the life that its connection knows: no reply crosses a restart unseen."""

    def __init__(self, connections: Connections, url: str) -> None:
        self._connections = connections
        self._url = mask(url)

    def run(self, name: str, root: bytes, args: list[Argument]) -> Any:
        """Run script `name` on the shard at `root`.

        A cut connection is opened again and the script repeated once: each script gives the same answer to
        the same token. Raises RedisUnreachable, RedisRefused (out of memory, no permission, read only).
        """
        link = self._connections.take()
        try:
            for attempt in (1, 2, 3):
                try:
                    reply = self._call(link, name, root, args)
                except Disconnected:
                    if attempt == 3:
                        raise
                    self._connections.reconnect(link)
                    continue
                if isinstance(reply, ResponseError) and "WARMERLIFE" in str(reply) and attempt < 3:
                    # The server has been restarted or promoted under us: learn its life, and say it again.
                    self._connections.look_again()
                    self._connections.reconnect(link)
                    continue
                if isinstance(reply, ResponseError):
                    raise RedisRefused(self._url, f"{name}.lua", str(reply)) from reply
                return reply
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
        raise AssertionError("unreachable")  # pragma: no cover

    def _call(self, link: Link, name: str, root: bytes, args: list[Argument]) -> Any:
        reply = link.call(pack("EVALSHA", lua.sha1(name), 1, root, link.life, *args))
        if isinstance(reply, NoScriptError):
            reply = link.call(pack("EVAL", lua.source(name), 1, root, link.life, *args))
        return reply

    def command(self, *parts: Argument) -> Any:
        """One plain command that may be repeated. Raises RedisUnreachable, RedisRefused."""
        reply, _ = self._connections.get(pack(*parts))
        if isinstance(reply, ResponseError):
            raise self.refused(str(parts[0]), reply)
        return reply

    def refused(self, command: str, reply: Any) -> RedisRefused:
        """The error for an error reply."""
        return RedisRefused(self._url, command, str(reply))
