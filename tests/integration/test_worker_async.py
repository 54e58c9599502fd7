"""Async queries in workers: one event loop a process, so an async engine of a module serves every load."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.working.project import Project
from warmer.testing import wait_until

LOADS = 300
QUERIES = """
    import asyncio

    from {package} import flights
    from {package}.signs import count
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

    engine = create_async_engine("sqlite+aiosqlite:///DATABASE", pool_size=2)
    loops = set()


    def session():
        return AsyncSession(engine)


    @flights.cached(ttl=600, name="square", version="1", resources={"session": session})
    async def square(session: AsyncSession, n: int) -> int:
        if id(asyncio.get_running_loop()) not in loops:
            loops.add(id(asyncio.get_running_loop()))
            count("loops")
        return (await session.execute(text("select :n * :n"), {"n": n})).scalar_one()
"""


@pytest.fixture
def project(tmp_path: Path, namespace: str, redis_url: str, broker_url: str) -> Iterator[Project]:
    """A project with an async engine that is made where its module is imported."""
    with Project(tmp_path, namespace, redis_url, broker_url) as project:
        project.write("squares", QUERIES.replace("DATABASE", str(tmp_path / "squares.db")))
        yield project


@pytest.mark.parametrize(("pool", "processes"), [("prefork", 2), ("threads", 4)])
def test_an_async_engine_survives_hundreds_of_loads(project: Project, pool: str, processes: int) -> None:
    """Hundreds of entries are loaded through one engine, on one event loop in each process."""
    query = project.flights.queries["square"]

    with project.worker(pool, processes) as worker:
        project.send(*(project.claim("square", n) for n in range(LOADS)))
        wait_until(
            lambda: _stored(project) == LOADS,
            timeout_s=90,
            description=lambda: f"{LOADS} entries; there are {_stored(project)}.\n{worker.tail()}",
        )

    assert query.get_many([(n,) for n in range(LOADS)]) == [n * n for n in range(LOADS)]
    assert project.counted("loops") == (processes if pool == "prefork" else 1)


def _stored(project: Project) -> int:
    with redis.Redis.from_url(project.redis_url) as client:
        return sum(1 for _ in client.scan_iter("w:{*}:e:square@*", count=1000))
