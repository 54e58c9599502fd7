"""A fleet whose server is set back to a snapshot, and what became of trust in what it had stored."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import redis
from sqlalchemy import Engine, select, update

from tests.tracked import CALLS, Flight, Tracked, tracked
from warmer.core.keyspace import keyspace
from warmer.errors import RedisUnreachable
from warmer.outbox.relay import Relay
from warmer.outbox.schema import outbox
from warmer.outbox.settling import settle
from warmer.testing import ValkeyServer, wait_until


class Fleet:
    """Any number of processes over one server and one database."""

    def __init__(self, server: ValkeyServer, engine: Engine, namespace: str) -> None:
        self.server, self.engine, self.namespace = server, engine, namespace
        self.keys = keyspace(namespace, 0)
        self._made: list[Tracked] = []

    def process(self, url: str | None = None, **settings: Any) -> Tracked:
        settings = {"invalidate_through": "outbox", **settings}
        self._made.append(tracked(self.namespace, url or self.server.url, self.engine, **settings))
        return self._made[-1]

    def filled(self) -> Tracked:
        """A process that has said where invalidations go, has marked rows, and has cached everything."""
        made = self.process()
        made.flights.relay()
        settle(made.flights.runtime().store, ())
        made.fill()
        return made

    def close(self) -> None:
        for made in self._made:
            made.flights.close()

    def client(self, server: ValkeyServer | None = None) -> redis.Redis:
        return redis.Redis.from_url((server or self.server).url)

    def snapshot(self, name: str = "old") -> Path:
        with self.client() as client:
            client.save()
        return Path(shutil.copy(self.server.data_dir / "dump.rdb", self.server.data_dir / f"{name}.rdb"))

    def restore(self, snapshot: Path) -> None:
        self.server.kill()
        shutil.copy(snapshot, self.server.data_dir / "dump.rdb")
        self.server.start()

    def copied(self, copy: ValkeyServer) -> None:
        """Wait until a replica has all that the server has."""
        with self.client(copy) as behind, self.client() as client:
            wait_until(
                lambda: (
                    behind.info("replication").get("master_link_status") == "up"
                    and client.info("replication")["master_repl_offset"]
                    == behind.info("replication")["slave_repl_offset"]
                ),
                description="a replica in step",
            )

    def promote(self, server: ValkeyServer) -> None:
        """Make a primary of a replica; whoever is at the old one is answered there as ever."""
        with self.client(server) as client:
            client.execute_command("REPLICAOF", "NO", "ONE")

    def trust(self, server: ValkeyServer | None = None) -> str:
        """What was decided in this life of the server; "" if nothing was."""
        with self.client(server) as client:
            current, said = client.hmget(self.keys.life, "current", "trust")
        life, _, what = (said or b"").partition(b" ")
        return what.decode() if life == current else ""

    def decide(self, made: Tracked, relay: Relay | None = None, server: ValkeyServer | None = None) -> str:
        """Relay until it is decided; whoever relays goes on when the server is back."""
        at_it = relay or Relay(made.flights)

        def decided() -> bool:
            try:
                at_it.step()
            except RedisUnreachable:
                return False  # what data that was set back says of itself is about an earlier life
            return self.trust(server) != ""

        wait_until(decided, description="a decision")
        return self.trust(server)

    def marked(self) -> None:
        """Wait until all that was applied is marked so."""

        def done() -> bool:
            with self.engine.connect() as connection:
                unmarked = select(outbox.c.id).where(outbox.c.applied_at.is_(None))
                return connection.execute(unmarked).first() is None

        wait_until(done, description="all rows to be marked")


def delay(made: Tracked, flight: int, minutes: int) -> None:
    """A tracked transaction."""
    with made.sessions.begin() as session:
        session.execute(update(Flight).where(Flight.id == flight).values(delay=minutes))


def stored(made: Tracked) -> set[tuple[Any, ...]]:
    """The calls whose entries are served."""
    return set(CALLS) - made.gone()


def set_back(fleet: Fleet) -> tuple[Tracked, Path]:
    """A process whose server came back with a snapshot that lacks two commits; and that snapshot."""
    made = fleet.filled()
    old = fleet.snapshot()
    delay(made, 1, 5)
    delay(made, 2, 5)
    fleet.marked()
    fleet.restore(old)
    return made, old
