"""What leases, fence and commits of one shard must come to, in plain Python: the model that the scripts are
held to.

Times are model time: whole steps, moved by hand. Stamps are taken from the scripts' own replies.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from tests.lua.shard import Subject

LEASE, TIMEOUT = 2, 3
#: A first failure rests for at most a second, which is less than a step.
BACK_OFF = 1


@dataclass
class Lease:
    """The right to load: until when without a heartbeat, and until when at most."""

    token: str
    stamp: float
    expires: int
    deadline: int


@dataclass
class Model:
    """The shard. `fence` holds the newest stamp of each name, `floor` what it has let go."""

    now: int = 0
    floor: float = 0
    fence: dict[str, float] = field(default_factory=dict)
    leases: dict[str, Lease] = field(default_factory=dict)
    doomed: dict[str, Lease] = field(default_factory=dict)
    stored: dict[str, float] = field(default_factory=dict)
    failed: dict[str, tuple[int, float]] = field(default_factory=dict)

    def live(self, table: dict[str, Lease], subject: Subject) -> Lease | None:
        lease = table.get(subject.member)
        return lease if lease and lease.expires > self.now else None

    def fenced(self, subject: Subject) -> float:
        return max(self.floor, *(self.fence.get(name, 0) for name in subject.names))

    def asks_again(self, subject: Subject, token: str) -> None:
        """A call whose reply was lost is repeated: if its lease stands aside, its load never began."""
        aside = self.live(self.doomed, subject)
        if aside and aside.token == token:
            del self.doomed[subject.member]

    def may_acquire(self, subject: Subject, token: str, newer_than: float, insist: bool) -> str:
        """What acquire answers, and (where it grants) the lease that moves aside."""
        lease = self.live(self.leases, subject)
        if lease and lease.token == token:
            return "granted"
        if self.stored.get(subject.member, -inf) > newer_than:
            return "committed"
        until, stamp = self.failed.get(subject.member, (0, 0))
        if not insist and until > self.now and stamp > self.fenced(subject):
            return "failed"
        if lease and (lease.stamp >= self.fenced(subject) or self.live(self.doomed, subject)):
            return "busy"
        return "granted"

    def grant(self, subject: Subject, token: str, stamp: float) -> None:
        lease = self.live(self.leases, subject)
        if lease and lease.token != token:
            self.doomed[subject.member] = lease
        if not lease or lease.token != token:
            self.leases[subject.member] = Lease(token, stamp, self.now + LEASE, self.now + TIMEOUT)

    def holds(self, subject: Subject, token: str) -> str:
        """What a heartbeat answers."""
        for table, answer in ((self.leases, "held"), (self.doomed, "doomed")):
            lease = self.live(table, subject)
            if lease and lease.token == token:
                return answer
        return "lost"

    def may_commit(self, subject: Subject, token: str, stamp: float) -> str:
        held = self.holds(subject, token)
        if held == "lost":
            return "stored" if self.stored.get(subject.member) == stamp else "lost"
        return "refused" if held == "doomed" or self.fenced(subject) >= stamp else "stored"

    def end(self, subject: Subject, token: str) -> None:
        for table in (self.leases, self.doomed):
            if subject.member in table and table[subject.member].token == token:
                del table[subject.member]

    def stamped(self, stamp: float, *names: str) -> None:
        self.fence.update(dict.fromkeys(names, stamp))

    def removed(self, subject: Subject, stamp: float) -> None:
        if self.stored.get(subject.member, inf) < stamp:
            del self.stored[subject.member]
        if self.failed.get(subject.member, (0, inf))[1] < stamp:
            del self.failed[subject.member]
        lease = self.live(self.leases, subject)
        if lease and lease.stamp < stamp and not self.live(self.doomed, subject):
            self.doomed[subject.member] = self.leases.pop(subject.member)
