"""The lease, fence, commit and invalidate scripts, driven by random steps and held to the model.

Two kinds of checks. Each reply is what the model says (so nothing is refused or delayed without need). And
the promises are checked on what happened, whatever the model says: `_check_...`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
)

from tests.lua.protocol_model import BACK_OFF, LEASE, TIMEOUT, Model
from tests.lua.shard import FENCE_AGE_US, FENCE_NAMES, SECOND, Shard, Subject, new_life
from warmer.core.header import Header

# So long that the real time of a test run is nothing beside it.
STEP = 1_000 * SECOND
A = Subject("A", listed=("g:a", "g:both"))
B = Subject("B", listed=("g:both",))
SUBJECTS = (A, B)
NAMES = ("e:q:A", "q:q", "g:a", "g:both", "g:of-no-entry")

_machines = itertools.count(1)
subjects = st.sampled_from(SUBJECTS)


@dataclass(frozen=True)
class Load:
    """A load that was granted a lease."""

    subject: Subject
    token: str
    stamp: int
    life: bytes


class ProtocolMachine(RuleBasedStateMachine):
    """Readers, loads, invalidations and the clock, in any order."""

    url: ClassVar[str]
    source: ClassVar[Callable[[str], str]]
    steps: ClassVar[int] = 0

    loads = Bundle("loads")
    unheard = Bundle("unheard")
    stamps = Bundle("stamps")

    def __init__(self) -> None:
        super().__init__()
        self.shard = Shard(self.url, f"w:{{machine{next(_machines)}:0}}:", type(self).source)
        self.model = Model()
        self.last_stamp = 0.0
        self.granted: dict[str, int] = {}
        self.running: dict[str, Load] = {}
        self.ends: dict[str, tuple[int, int]] = {}  # of a running load: without a heartbeat, at most
        self.issued = dict.fromkeys(SUBJECTS, 0.0)  # newest invalidation that has begun
        self.completed = dict.fromkeys(SUBJECTS, 0.0)  # newest that has returned
        self.arrivals: dict[Subject, int] = {}

    def teardown(self) -> None:
        for key in self.shard.redis.scan_iter(f"{self.shard.root}*", count=1000):
            self.shard.redis.delete(key)
        self.shard.close()

    # -- loads

    @rule(target=loads, subject=subjects, newest=st.booleans(), insist=st.booleans())
    def acquire(self, subject: Subject, newest: bool, insist: bool) -> Any:
        return self._acquire(subject, self.shard.token(), newest, insist)

    @rule(target=unheard, subject=subjects, newest=st.booleans())
    def acquire_and_lose_the_reply(self, subject: Subject, newest: bool) -> tuple[Subject, str]:
        token = self.shard.token()
        self._acquire(subject, token, newest, False)
        self.running.pop(token, None)
        return subject, token

    @rule(target=loads, lost=consumes(unheard))
    def acquire_again(self, lost: tuple[Subject, str]) -> Any:
        return self._acquire(*lost, False, False)

    def _acquire(self, subject: Subject, token: str, newest: bool, insist: bool) -> Any:
        model, arrived = self.model, self.arrivals.get(subject)
        expected = model.may_acquire(subject, token, float("inf") if newest else 0, insist)
        if expected in ("granted", "busy"):
            model.asks_again(subject, token)
            expected = model.may_acquire(subject, token, float("inf") if newest else 0, insist)
        reply = self.shard.acquire(
            subject, token, lease_us=LEASE * STEP, timeout_us=TIMEOUT * STEP,
            newer_than="inf" if newest else 0, arrived="inf" if arrived is None else arrived,
            insist=int(insist),
        )  # fmt: skip
        if reply[0] == "handed":
            self._check_handed(subject, reply[2])
            return multiple()
        assert reply[0] == expected, f"acquire answered {reply[0]}, the model says {expected}"
        if reply[0] == "busy":
            self._check_stamp(reply[2])
            self.arrivals.setdefault(subject, reply[2])
        if reply[0] == "committed":
            self._check_served(subject, Header.read(reply[2]))
        if reply[0] != "granted":
            return multiple()
        return self._granted(subject, token, reply[2])

    def _granted(self, subject: Subject, token: str, stamp: int) -> Any:
        self.model.grant(subject, token, stamp)
        if token in self.running:
            return multiple()
        load = Load(subject, token, stamp, self.shard.life)
        if self.granted.get(token) != stamp:
            self._check_stamp(stamp)
        self.granted[token] = stamp
        self.running[token] = load
        lease = self.model.leases[subject.member]
        self.ends[token] = (lease.expires, lease.deadline)
        self._check_running(subject)
        return load

    @rule(load=loads)
    def commit(self, load: Load) -> None:
        expected = self.model.may_commit(load.subject, load.token, load.stamp)
        stored_before = self.shard.header(load.subject)
        reply = self.shard.commit(
            load.subject, load.token, load.stamp, ttl_us=10**6 * STEP, grace_us=0, payload=load.token.encode()
        )
        if reply[0] == "stored" and not (stored_before and stored_before.stamp == load.stamp):
            self._check_stored(load)
        assert reply[0] == expected, f"commit answered {reply[0]}, the model says {expected}"
        if reply[0] == "stored" and self.model.holds(load.subject, load.token) != "lost":
            self.model.stored[load.subject.member] = load.stamp
            self.model.failed.pop(load.subject.member, None)
            self.arrivals.pop(load.subject, None)
        self._ended(load, reply[0])

    @rule(subject=subjects)
    def commit_what_runs(self, subject: Subject) -> None:
        for load in [load for load in self.running.values() if load.subject == subject]:
            self.commit(load)

    @rule(load=loads)
    def fail(self, load: Load) -> None:
        held = self.model.leases.get(load.subject.member)
        expected = "failed" if held and held.token == load.token else "lost"
        reply = self.shard.fail(load.subject, load.token)
        assert reply[0] == expected, f"fail answered {reply[0]}, the model says {expected}"
        if expected == "failed":
            self.model.failed[load.subject.member] = (self.model.now + BACK_OFF, load.stamp)
        self._ended(load, "failed")

    @rule(load=loads)
    def release(self, load: Load) -> None:
        expected = "lost" if self.model.holds(load.subject, load.token) == "lost" else "released"
        answer = self.shard.release(load.subject, load.token)
        assert answer == expected, f"release answered {answer}, the model says {expected}"
        self._ended(load, answer)

    @rule(subject=subjects)
    def wait_for_what_is_refused(self, subject: Subject) -> None:
        """A load is waited for and invalidated: its value is kept for those who came before it."""
        load = self._acquire(subject, self.shard.token(), True, True)
        if isinstance(load, Load):
            self._acquire(subject, self.shard.token(), True, True)
            self.stamp(subject.name, FENCE_NAMES)
            self.commit(load)

    @rule(subject=subjects)
    def invalidate_load_after_load(self, subject: Subject) -> None:
        """The second is invalidated while the first still stands aside."""
        for load in [self._loaded_and_invalidated(subject) for _ in range(2)]:
            if load is not None:
                self.commit(load)

    def _loaded_and_invalidated(self, subject: Subject) -> Load | None:
        load = self._acquire(subject, self.shard.token(), True, True)
        self.invalidate(subject)
        return load if isinstance(load, Load) else None

    @rule(subject=subjects, alive=st.booleans())
    def load_for_too_long(self, subject: Subject, alive: bool) -> None:
        """Past the timeout, or silent past the lease."""
        load = self._acquire(subject, self.shard.token(), True, True)
        for _ in range(TIMEOUT):
            self.time_passes(alive)
        if isinstance(load, Load):
            self.commit(load)

    @rule(load=loads)
    def heartbeat(self, load: Load) -> None:
        expected = self.model.holds(load.subject, load.token)
        [answer] = self.shard.extend((load.subject, load.token), lease_us=LEASE * STEP)
        assert answer == expected, f"extend answered {answer}, the model says {expected}"
        for table in (self.model.leases, self.model.doomed):
            lease = self.model.live(table, load.subject)
            if lease and lease.token == load.token:
                lease.expires = min(self.model.now + LEASE, lease.deadline)
        if load.token in self.running and answer != "lost":
            _, most = self.ends[load.token]
            self.ends[load.token] = (min(self.model.now + LEASE, most), most)

    def _ended(self, load: Load, answer: str) -> None:
        # A lease that has run out stays on record: its load may still say that it failed.
        if answer != "lost":
            self.model.end(load.subject, load.token)
        self.running.pop(load.token, None)

    # -- invalidations

    @rule(subject=subjects)
    def invalidate(self, subject: Subject) -> None:
        there = self.shard.header(subject) is not None
        _, _, count, stamp = self.shard.invalidate(subject)
        self._check_stamp(stamp)
        assert count == int(there), f"invalidate removed {count} of {int(there)}"
        self.model.stamped(stamp, subject.name)
        self.model.removed(subject, stamp)
        self.issued[subject] = self.completed[subject] = stamp

    @rule(target=stamps, name=st.sampled_from(NAMES), most=st.sampled_from((1, FENCE_NAMES)))
    def stamp(self, name: str, most: int) -> tuple[int, str]:
        stamp = self.shard.stamp(name, most=most, age_us=10**9 * STEP)
        self._check_stamp(stamp)
        self.model.stamped(stamp, name)
        self._let_go(stamp, most)
        for subject in SUBJECTS:
            if name in subject.names:
                self.issued[subject] = stamp
        return stamp, name

    @rule(name=st.sampled_from(NAMES))
    def the_fence_lets_go(self, name: str) -> None:
        """A name is stamped, and crowded out by the next."""
        self.stamp(name, 1)
        self.stamp("g:of-no-entry", 1)

    def _let_go(self, stamp: int, most: int) -> None:
        fence = self.model.fence
        for _ in range(2):
            oldest = min(fence, key=lambda name: (fence[name], name))
            if fence[oldest] >= stamp or len(fence) <= most:
                return
            self.model.floor = max(self.model.floor, fence.pop(oldest))
            # Below the floor everything counts as hit.
            self.issued = {subject: max(hit, self.model.floor) for subject, hit in self.issued.items()}

    @rule(stamped=stamps)
    def remove(self, stamped: tuple[int, str]) -> None:
        stamp, name = stamped
        hit = [subject for subject in SUBJECTS if name in subject.names]
        there = [header.stamp for subject in hit if (header := self.shard.header(subject)) is not None]
        count = self.shard.remove(stamp, *hit, name=name)[2]
        expected = sum(loaded < stamp for loaded in there)
        assert count == expected, f"remove took {count} of {expected}"
        for subject in hit:
            self.model.removed(subject, stamp)
            self.completed[subject] = max(self.completed[subject], stamp)

    # -- the world

    @rule(alive=st.booleans())
    def time_passes(self, alive: bool) -> None:
        """A step of time, after the heartbeats of all that run where `alive`."""
        for load in list(self.running.values()) if alive else []:
            self.heartbeat(load)
        self.shard.advance(STEP)
        self.model.now += 1
        for token, (silent, _) in list(self.ends.items()):
            if silent <= self.model.now:
                self.running.pop(token, None)

    @precondition(lambda self: self.model.now > 1)
    @rule()
    def server_restarts(self) -> None:
        self.shard.life = new_life()
        self.model.leases.clear()
        self.model.doomed.clear()
        self.model.stored.clear()
        self.running.clear()

    # -- the promises

    @invariant()
    def nothing_invalidated_is_there(self) -> None:
        """Promise 1: when an invalidation has returned, nothing that was loaded before it is stored."""
        type(self).steps += 1
        for subject in SUBJECTS:
            self._check_served(subject, self.shard.header(subject))

    def _check_served(self, subject: Subject, header: Header | None) -> None:
        if header is not None and header.life == self.shard.life:
            assert header.stamp > self.completed[subject], (
                "a value is older than an invalidation that returned"
            )

    def _check_stored(self, load: Load) -> None:
        assert load.token in self.running, "a commit stored without a live lease"
        assert load.life == self.shard.life, "a commit stored under a lease of an earlier life"
        assert load.stamp > self.issued[load.subject], "a commit stored what an invalidation had hit"

    def _check_running(self, subject: Subject) -> None:
        loads = [load for load in self.running.values() if load.subject == subject]
        current = [load for load in loads if load.stamp > self.issued[subject]]
        assert len(current) <= 1, "two loads of one entry run though nothing was invalidated between them"
        assert len(loads) <= 2, "more than two loads of one entry run"

    def _check_stamp(self, stamp: float) -> None:
        assert stamp > self.last_stamp, "the sequence did not grow"
        self.last_stamp = stamp

    def _check_handed(self, subject: Subject, blob: bytes) -> None:
        header = Header.read(blob)
        assert header is not None
        assert header.stamp > self.arrivals[subject], (
            "a value was handed to one who came after its load began"
        )
        assert header.life == self.shard.life, "a value was handed over a restart"


assert FENCE_AGE_US < STEP * 10**9
