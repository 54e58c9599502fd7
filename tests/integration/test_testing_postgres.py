"""warmer.testing.postgres: one real PostgreSQL a test run, one database a test."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, text

from tests.guarding.processes import alive, children, command
from warmer.errors import ServerNotStarted
from warmer.testing import PostgresServer, python, wait_until
from warmer.testing.leftovers import remove

_OWNER = "import signal; print('up', flush=True); signal.pause()"


def test_a_database_is_empty_and_its_own(warmer_postgres: PostgresServer) -> None:
    """Two databases of one server know nothing of each other."""
    with warmer_postgres.database() as one, warmer_postgres.database() as other:
        with psycopg.connect(one) as connection:
            connection.execute("CREATE TABLE flight (id int)")
        with psycopg.connect(other) as connection:
            assert connection.execute("SELECT to_regclass('flight')").fetchone() == (None,)


def test_the_url_suits_sqlalchemy(pg_url: str) -> None:
    """The URL is taken by SQLAlchemy as it is."""
    engine = create_engine(pg_url)
    with engine.connect() as connection:
        assert connection.execute(text("SHOW server_version")).scalar_one().startswith("18")
    engine.dispose()


def test_a_database_is_dropped_even_with_open_connections(warmer_postgres: PostgresServer) -> None:
    """A test that forgot a connection does not fill the server."""
    with warmer_postgres.database() as url:
        connection = psycopg.connect(url)
        name = connection.info.dbname
    with psycopg.connect(warmer_postgres.admin_url) as admin:
        assert admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None
    connection.close()


def test_everybody_shares_the_server(
    warmer_postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A second process of the run (here: a second asking) gets the server that runs."""
    assert PostgresServer.shared(tmp_path_factory).admin_url == warmer_postgres.admin_url


@pytest.mark.parametrize("end", ["the owner is killed", "the keeper is stopped"])
def test_the_server_ends_with_its_owner_and_leaves_no_data(tmp_path: Path, end: str) -> None:
    """kill -9 of the test run, or SIGTERM to the keeper: no process and no folder stays."""
    with python("-c", _OWNER) as owner:
        owner.wait_for_line("up")
        before = children()
        server = PostgresServer.kept(tmp_path, owner.pid)
        (keeper,) = children() - before
        pgdata, postgres = _data_and_pid(server)
        assert "warmer.testing.postgres" in command(keeper)
        if end == "the owner is killed":
            owner.kill()
        else:
            os.kill(keeper, signal.SIGTERM)
        wait_until(lambda: not alive(keeper), description="the keeper to end", timeout_s=60)
    assert not alive(postgres)
    assert not pgdata.exists()
    assert not (tmp_path / "warmer-postgres.url").exists()


def test_the_server_ends_with_its_keeper(tmp_path: Path) -> None:
    """If the keeper is killed, nobody is left to stop the server, so it stops by itself."""
    before = children()
    server = PostgresServer.kept(tmp_path, os.getpid())
    (keeper,) = children() - before
    pgdata, postgres = _data_and_pid(server)
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: not alive(postgres), description="the server to end", timeout_s=60)
    remove(pgdata)


def _data_and_pid(server: PostgresServer) -> tuple[Path, int]:
    with psycopg.connect(server.admin_url) as connection:
        row = connection.execute("SELECT current_setting('data_directory')").fetchone()
    assert row is not None
    return Path(row[0]), int((Path(row[0]) / "postmaster.pid").read_text().splitlines()[0])


def test_an_owner_that_has_gone_already_ends_the_server_at_once(tmp_path: Path) -> None:
    """A keeper that comes too late for its owner does not stay for ever."""
    with python("-c", "pass") as owner:
        owner.wait()
        before = children()
        with contextlib.suppress(ServerNotStarted):  # it may have ended before anybody could see it run
            PostgresServer.kept(tmp_path, owner.pid)
        wait_until(lambda: children() <= before, description="the keeper to end", timeout_s=60)


def test_a_server_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keeper's own words are in the error."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "no-such-folder"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sitecustomize.py").write_text("import tempfile; tempfile.tempdir = '/no-such-folder'")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ServerNotStarted, match="PostgreSQL did not start"):
        PostgresServer.kept(tmp_path, os.getpid())
