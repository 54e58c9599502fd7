"""A project with its own package name, so that the test's own process can import it beside others."""

from __future__ import annotations

import importlib
import itertools
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from warmer import Warmer
from warmer.errors import ServerError
from warmer.project import find_project
from warmer.store.operations import Claim
from warmer.testing import ChildProcess, python, wait_until
from warmer.worker.publish import disconnect, enqueue

_numbers = itertools.count(1)

_PACKAGE = """
    from warmer import Warmer

    flights = Warmer({namespace!r}, redis_url={redis_url!r}, broker_url={broker_url!r}, **{settings!r})
"""

_CELERY = """
    from {package} import flights

    app = flights.celery
"""

# Loads tell the test what they do, and wait for it, through lists on the same server.
_SIGNS = """
    import os

    import redis

    URL = {redis_url!r}


    def count(sign):
        with redis.Redis.from_url(URL) as client:
            return client.incr("sign:" + sign)


    def tell(sign, what=""):
        with redis.Redis.from_url(URL) as client:
            client.rpush("told:" + sign, what or os.getpid())


    def wait_for(gate):
        with redis.Redis.from_url(URL) as client:
            client.blpop("gate:" + gate, 60)


    def read(name):
        with redis.Redis.from_url(URL) as client:
            return (client.get("value:" + name) or b"").decode()
"""


class Project:
    """Files of a project, its namespace in this process, and its workers."""

    def __init__(
        self, folder: Path, namespace: str, redis_url: str, broker_url: str, **settings: Any
    ) -> None:
        self.folder, self.package = folder, f"project_{next(_numbers)}"
        self.redis_url, self.broker_url = redis_url, broker_url
        self._namespace: Warmer | None = None
        parts = {
            "namespace": namespace, "redis_url": redis_url, "broker_url": broker_url, "settings": settings,
            "package": self.package,
        }  # fmt: skip
        self.write("__init__", _PACKAGE.format(**parts))
        self.write("celery", _CELERY.format(**parts))
        self.write("signs", _SIGNS.format(**parts))

    def write(self, module: str, source: str, *, package: str | None = None) -> None:
        """Write a module of the project. {package} in it is the package's name."""
        path = self.folder / (package or self.package) / f"{module}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(source).replace("{package}", self.package))

    @property
    def flights(self) -> Warmer:
        """The namespace in this process."""
        if self._namespace is None:
            sys.path.insert(0, str(self.folder))
            importlib.invalidate_caches()
            self._namespace = find_project(self.package)
        return self._namespace

    def close(self) -> None:
        """Disconnect, and forget the project's modules."""
        if self._namespace is not None:
            disconnect(self._namespace)
            self._namespace.close()
            sys.path.remove(str(self.folder))
        for name in [name for name in sys.modules if name.partition(".")[0] == self.package]:
            del sys.modules[name]

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- workers

    def celery(self, *args: str, name: str = "celery") -> ChildProcess:
        """A `celery -A <package> ...` in the project's folder, not started."""
        # Celery refuses to take pickles as root, which is who tests in containers run as.
        env = {"C_FORCE_ROOT": "1"}
        return python("-m", "celery", "-A", self.package, *args, cwd=self.folder, name=name, env=env)

    @contextmanager
    def worker(self, pool: str = "prefork", processes: int = 1, *args: str) -> Iterator[ChildProcess]:
        """A worker that is ready."""
        name = f"worker{next(_numbers)}"
        child = self.celery(
            "worker", "-P", pool, "-c", str(processes), "-l", "info", "-n", f"{name}@here",
            "--without-gossip", "--without-mingle", *args, name=name,
        )  # fmt: skip
        with child:
            child.wait_for_line(r"ready\.$", timeout_s=60)
            yield child

    # -- messages

    def claim(self, query: str, *args: Any) -> Claim:
        """What a scheduler that has just claimed the entry knows of it."""
        entry = self.flights.queries[query].bind(*args).entry_key
        stamp = self.flights.runtime().store.stamp_now(entry)
        tokens = entry.params if entry.digested else None
        return Claim(entry.shard, entry.member, stamp, stamp, tokens, 0)

    def send(self, *claims: Claim) -> int:
        """Have workers refresh them."""
        return enqueue(self.flights, claims)

    # -- signs of loads

    def told(self, sign: str, *, timeout_s: float = 20.0) -> str:
        """Wait until a load tells this, and what it says; each telling is heard once."""
        with redis.Redis.from_url(self.redis_url) as client:
            told = wait_until(
                lambda: client.lpop(f"told:{sign}"), timeout_s=timeout_s, description=f"a load to tell {sign}"
            )
        assert isinstance(told, bytes)
        return told.decode()

    def counted(self, sign: str) -> int:
        """How often loads have counted this."""
        with redis.Redis.from_url(self.redis_url) as client:
            return int(client.get(f"sign:{sign}") or 0)

    def open(self, gate: str, times: int = 1) -> None:
        """Let so many loads that wait for this go on."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.rpush(f"gate:{gate}", *["open"] * times)

    def put(self, name: str, value: str) -> None:
        """Change what loads read."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.set(f"value:{name}", value)

    def value(self, query: str, *args: Any) -> Any:
        """What is stored of an entry, None for nothing."""
        try:
            found = self.flights.queries[query].bind(*args).entry()
        except ServerError:
            return None
        return None if found is None else found.value

    def warm(self, query: str, *args: Any, value: Any, timeout_s: float = 20.0) -> None:
        """Wait until the entry is stored with this value."""
        wait_until(
            lambda: self.value(query, *args) == value,
            timeout_s=timeout_s,
            description=lambda: (
                f"{query}{args} to be stored as {value!r}; it is {self.value(query, *args)!r}"
            ),
        )
