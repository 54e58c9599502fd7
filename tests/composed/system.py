"""The services of docker-compose.yml as plain processes: its commands, its environment, its health checks.

Different are only addresses: the servers' (found on loopback instead of by name), and Flower's port.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import URL, make_url

from tests.composed.files import ROOT, Service, image_environment, image_folders
from warmer.testing import ChildProcess, wait_until

_BIN = Path(sys.executable).parent


class System:
    """Where the services of ours run, and what is on their path there."""

    def __init__(
        self,
        services: Mapping[str, Service],
        folder: Path,
        redis_url: str,
        database_url: URL,
        flower_port: int,
    ) -> None:
        self.services, self.folder = services, folder
        self.redis_url, self.database_url, self.flower_port = redis_url, database_url, flower_port
        for name in image_folders():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))

    def environment(self, name: str) -> dict[str, str]:
        """A service's environment, with the image's, and servers where they are."""
        found = {**image_environment(), **self.services[name].environment}
        redis_url, database_url = make_url(found["WARMER_REDIS_URL"]), make_url(found["WARMER_DATABASE_URL"])
        here = make_url(self.redis_url)
        found["WARMER_REDIS_URL"] = redis_url.set(host=here.host, port=here.port).render_as_string(False)
        there = database_url.set(
            host=None, port=None, database=self.database_url.database, query=self.database_url.query
        )
        found["WARMER_DATABASE_URL"] = there.render_as_string(False)
        return found

    def start(self, name: str) -> ChildProcess:
        """A service's own command, not started."""
        return ChildProcess(
            self._argv(self.services[name].command), name=name, cwd=self.folder, env=self.environment(name)
        )

    def run(self, name: str, *command: str) -> subprocess.CompletedProcess[str]:
        """What `docker compose exec NAME COMMAND` does."""
        return subprocess.run(
            self._argv(command),
            cwd=self.folder,
            env={**os.environ, **self.environment(name)},
            capture_output=True,
            text=True,
            timeout=100,
        )

    def healthy(self, name: str, child: ChildProcess) -> str:
        """Wait until the service's own health check passes, and what it says then."""
        command = self.services[name].health_command
        if name == "flower":
            command = (*command, "--port", str(self.flower_port))
        said = [""]

        def passes() -> bool:
            assert child.running, child.tail()
            done = self.run(name, *command)
            said[0] = done.stdout + done.stderr
            return done.returncode == 0

        wait_until(
            passes, timeout_s=90, description=lambda: f"{name} to be healthy: {said[0]}\n{child.tail()}"
        )
        return said[0].strip()

    def _argv(self, command: tuple[str, ...]) -> list[str]:
        where = {"5555": str(self.flower_port), "0.0.0.0": "127.0.0.1"}
        program, *rest = command
        return [str(_BIN / program), *(where.get(word, word) for word in rest)]


@contextmanager
def running(system: System) -> Iterator[dict[str, ChildProcess]]:
    """Every service of ours in the order that the file asks for: the loader has ended, the others run."""
    loader = system.start("loader")
    with loader:
        assert loader.wait(100) == 0, loader.tail()
    with ExitStack() as stack:
        names = ("worker", "scheduler", "flower")
        yield {name: stack.enter_context(system.start(name)) for name in names}


@contextmanager
def database_of(service: Service, admin_url: str, url: str) -> Iterator[URL]:
    """The database made ready as the postgres service's environment says: a user with a password owns it."""
    user, password = service.environment["POSTGRES_USER"], service.environment["POSTGRES_PASSWORD"]
    found = make_url(url)
    name, role = sql.Identifier(str(found.database)), sql.Identifier(user)
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(password)))
        admin.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, role))
    try:
        yield found
    finally:
        with psycopg.connect(admin_url, autocommit=True) as admin:
            admin.execute(sql.SQL("ALTER DATABASE {} OWNER TO CURRENT_USER").format(name))
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(role))
        with psycopg.connect(admin_url, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP ROLE {}").format(role))
