"""A real cluster: two primaries that share the slots, and a replica of the first; slots that are moved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import redis
from redis.crc import key_slot

from warmer.core.keyspace import keyspace
from warmer.testing import ValkeyServer, wait_until

_ARGS: dict[str, str | int] = {
    "cluster-enabled": "yes",
    "cluster-node-timeout": 5000,
    "repl-diskless-sync-delay": 0,
}


def _say(node: ValkeyServer, *words: object) -> Any:
    with redis.Redis(port=node.port or 0, decode_responses=True, protocol=2) as client:
        return client.execute_command(*words)


@dataclass
class Cluster:
    """home: has a namespace's slot at first, and the replica; other: has the rest."""

    home: ValkeyServer
    other: ValkeyServer
    replica: ValkeyServer
    slot: int

    @property
    def url(self) -> str:
        """For `redis_url`."""
        return "redis+cluster://" + ",".join(
            f"127.0.0.1:{n.port}" for n in (self.home, self.other, self.replica)
        )

    def begin_move(self, source: ValkeyServer, target: ValkeyServer) -> None:
        """From now on keys can be moved, and scripts run nowhere."""
        _say(target, "CLUSTER", "SETSLOT", self.slot, "IMPORTING", _say(source, "CLUSTER", "MYID"))
        _say(source, "CLUSTER", "SETSLOT", self.slot, "MIGRATING", _say(target, "CLUSTER", "MYID"))

    def end_move(self, source: ValkeyServer, target: ValkeyServer) -> None:
        """Move the keys, and tell everybody."""
        keys = _say(source, "CLUSTER", "GETKEYSINSLOT", self.slot, 1000)
        _say(source, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        for node in (target, source):
            _say(node, "CLUSTER", "SETSLOT", self.slot, "NODE", _say(target, "CLUSTER", "MYID"))

    def take_over(self) -> None:
        """Promote the replica, whatever the others think."""
        _say(self.replica, "CLUSTER", "FAILOVER", "TAKEOVER")

    def is_well(self) -> bool:
        """Whether all nodes know of all slots, and the replica is in step."""
        nodes = [node for node in (self.home, self.other, self.replica) if node.running]
        return all("cluster_state:ok" in _say(node, "CLUSTER", "INFO") for node in nodes)

    def is_copied(self) -> bool:
        """Whether the replica is in step."""
        with redis.Redis(port=self.replica.port or 0) as client:
            return bool(client.info("replication").get("master_link_status") == "up")


@contextmanager
def clustered(namespace: str) -> Iterator[Cluster]:
    """The nodes, known to each other."""
    with ExitStack() as stack:
        home, other, replica = (stack.enter_context(ValkeyServer(args=_ARGS)) for _ in range(3))
        slot = key_slot(keyspace(namespace, 0).root.encode())
        low, high = (home, other) if slot < 8192 else (other, home)
        _say(low, "CLUSTER", "ADDSLOTSRANGE", 0, 8191)
        _say(high, "CLUSTER", "ADDSLOTSRANGE", 8192, 16383)
        for node in (other, replica):
            _say(home, "CLUSTER", "MEET", "127.0.0.1", node.port)
        cluster = Cluster(home, other, replica, slot)
        wait_until(cluster.is_well, timeout_s=30, description="a cluster")
        me = _say(home, "CLUSTER", "MYID")
        wait_until(
            lambda: me in str(_say(replica, "CLUSTER", "NODES")), description="nodes that know each other"
        )
        _say(replica, "CLUSTER", "REPLICATE", me)
        wait_until(cluster.is_copied, timeout_s=30, description="a replica in step")
        yield cluster
