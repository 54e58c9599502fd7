"""A primary, a replica of it, and sentinels that watch them: real ones, tuned to be quick."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import redis

from warmer.testing import ValkeyServer, wait_until

SERVICE = "flights"
#: Of the servers, and of the sentinels.
PASSWORD, THEIRS = "of-the-servers", "of-the-sentinels"


class SentinelServer(ValkeyServer):
    """One sentinel: the same program in another mode. It keeps what it learns in its configuration file."""

    def __init__(self, primary: ValkeyServer, down_after_ms: int = 60_000) -> None:
        super().__init__()
        self._watched = (
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} 1\n"
            f"sentinel down-after-milliseconds {SERVICE} {down_after_ms}\n"
            f"sentinel failover-timeout {SERVICE} 3000\n"
            f"sentinel auth-pass {SERVICE} {PASSWORD}\n"
            f"requirepass {THEIRS}\nsentinel sentinel-pass {THEIRS}\n"
        )

    def _arguments(self, port: int) -> list[str]:
        written = self.data_dir / "sentinel.conf"
        if not written.exists():
            written.write_text(f"bind 127.0.0.1\nport {port}\ndir {self.data_dir}\n{self._watched}")
        return [str(written), "--sentinel"]

    def _answers(self, port: int) -> bool:
        with suppress(redis.RedisError), redis.Redis(port=port, password=THEIRS) as client:
            return int(client.info("server")["process_id"]) == self.pid
        return False

    def client(self) -> redis.Redis:
        """For its own commands."""
        return redis.Redis(port=self.port or 0, password=THEIRS, decode_responses=True, protocol=2)

    def set_periods(self, period_ms: int, *names: str) -> None:
        """How often it does what."""
        with self.client() as client:
            for name in names:
                client.execute_command("SENTINEL", "DEBUG", name, period_ms)

    def primary_port(self) -> int:
        """Where it says the primary is."""
        with self.client() as client:
            return int(client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])


@dataclass
class Service:
    """What the sentinels watch. primary: the server that began as such."""

    primary: ValkeyServer
    replica: ValkeyServer
    sentinels: list[SentinelServer]

    @property
    def url(self) -> str:
        """For `redis_url`."""
        where = ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels)
        return f"redis+sentinel://:{PASSWORD}@{where}/{SERVICE}/0?sentinel_password={THEIRS}"

    def fail_over(self) -> None:
        """Have the sentinels promote the replica, as before maintenance: until the first one has done it."""
        wait_until(self._has_failed_over, timeout_s=60, description="a failover")

    def _has_failed_over(self) -> bool:
        if self.sentinels[0].primary_port() == self.replica.port:
            return True
        with self.sentinels[0].client() as client:
            try:  # again and again, for one that takes too long is given up
                client.execute_command("SENTINEL", "FAILOVER", SERVICE)
            except redis.ResponseError as refused:
                if not str(refused).startswith(("NOGOODSLAVE", "INPROG")):
                    raise
        return False

    def wait_promoted(self) -> None:
        """Wait until every sentinel says that the replica is the primary."""
        wait_until(
            lambda: all(one.primary_port() == self.replica.port for one in self.sentinels if one.running),
            timeout_s=30,
            description="the sentinels to agree on a new primary",
        )


@contextmanager
def watched() -> Iterator[Service]:
    """All of them, in step and knowing each other. The first sentinel is the one that finds a primary gone:
    of several that do at once, none may get the votes of most.
    """
    with ExitStack() as stack:
        settings: dict[str, str | int] = {"repl-diskless-sync-delay": 0, "masterauth": PASSWORD}
        primary = stack.enter_context(ValkeyServer(args=settings, password=PASSWORD))
        settings["replicaof"] = f"127.0.0.1 {primary.port}"
        replica = stack.enter_context(ValkeyServer(args=settings, password=PASSWORD))
        sentinels = [
            stack.enter_context(SentinelServer(primary, down_ms)) for down_ms in (400, 60_000, 60_000)
        ]
        quick = ("info-period", "ping-period", "publish-period", "ask-period")
        for one in sentinels:
            one.set_periods(100, *quick)
        wait_until(lambda: all(map(_knows_all, sentinels)), timeout_s=30, description="sentinels")
        for one in sentinels:  # a replica that another promotes is let be for four times that
            one.set_periods(2000, "publish-period")
        yield Service(primary, replica, sentinels)


def _knows_all(one: SentinelServer) -> bool:
    with one.client() as client:
        state = client.sentinel_master(SERVICE)
    return int(state["num-other-sentinels"]) == 2 and int(state["num-slaves"]) == 1
