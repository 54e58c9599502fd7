"""One shard, driven script by script: what tests call in place of the store, so that nothing stands
between.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import redis

from warmer import lua
from warmer.core.header import Header
from warmer.core.heat import Heat, bucket_of, heat_in

SECOND = 1_000_000
LEASE_US = 10 * SECOND
TIMEOUT_US = 30 * SECOND
FENCE_NAMES = 200_000
FENCE_AGE_US = 86_400 * SECOND

_lives = itertools.count(1)


def new_life() -> bytes:
    """A life of the server that no test has had."""
    return b"%08d" % next(_lives)


@dataclass(frozen=True)
class Subject:
    """An entry of the query `q` in version `v`, with the names that it stands under."""

    tokens: str = "UA"
    listed: tuple[str, ...] = ("g:month",)
    query: str = "q"
    version: str = "v"

    @property
    def member(self) -> str:
        return f"{self.query}@{self.version}:{self.tokens}"

    @property
    def name(self) -> str:
        return f"e:{self.query}:{self.tokens}"

    @property
    def fence_only(self) -> tuple[str, ...]:
        return (self.name, f"q:{self.query}")

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.fence_only, *self.listed)


UA = Subject()


class Shard:
    """Scripts of one shard on a real server; replies come as text, with numbers as int.

    source: gives a script's text by name; mutants give an altered one.
    """

    def __init__(self, url: str, root: str = "w:{lua:0}:", source: Callable[[str], str] = lua.source) -> None:
        self.redis = redis.Redis.from_url(url)
        self.root, self.life, self.source = root, new_life(), source
        self._tokens = itertools.count(1)

    def close(self) -> None:
        self.redis.close()

    # -- running

    def run(self, script: str, *args: Any, life: bytes | None = None) -> Any:
        text = self.source(script)
        given = (1, self.root, self.life if life is None else life, *map(_sent, args))
        try:
            reply = self.redis.evalsha(hashlib.sha1(text.encode()).hexdigest(), *given)
        except redis.exceptions.NoScriptError:
            reply = self.redis.eval(text, *given)
        return _read(reply)

    def acquire(
        self,
        subject: Subject = UA,
        token: str | None = None,
        *,
        lease_us: int = LEASE_US,
        timeout_us: int = TIMEOUT_US,
        newer_than: int | str = 0,
        arrived: int | str = "inf",
        insist: int = 0,
        interval_us: int = 0,
        servable: int = 1,
        names: Sequence[str] | None = None,
    ) -> Any:
        token = token or self.token()
        named = subject.names if names is None else names
        return self.run(
            "acquire", subject.member, token, lease_us, timeout_us, newer_than, arrived, insist, interval_us,
            servable, *named,
        )  # fmt: skip

    def lease(self, subject: Subject = UA, **how: Any) -> tuple[str, int]:
        """A lease that must be granted: its token and stamp."""
        token = how.pop("token", None) or self.token()
        reply = self.acquire(subject, token, **how)
        assert reply[0] == "granted", reply
        return token, reply[2]

    def commit(
        self,
        subject: Subject,
        token: str,
        stamp: int,
        *,
        payload: bytes = b"value",
        flags: int = 0,
        cost_us: int = 1000,
        ttl_us: int = 300 * SECOND,
        grace_us: int = 300 * SECOND,
        wait_us: int = -1,
        early: float = 0.0,
        draw: float = 1.0,
        keep: str = "never",
        idle_us: int = 600 * SECOND,
        max_kept: int = 100,
        tokens: str = "",
        learned: str = "",
        lag_us: int = 0,
        names: Sequence[str] | None = None,
    ) -> Any:
        named = subject.names if names is None else names
        return self.run(
            "commit", subject.member, token, stamp, payload, flags, cost_us, ttl_us, grace_us,
            wait_us, repr(early), repr(draw), keep, idle_us, max_kept, subject.version, tokens,
            learned, lag_us, len(subject.fence_only), *named,
        )  # fmt: skip

    def store(self, subject: Subject = UA, **how: Any) -> int:
        """Load and commit; the lease's stamp."""
        lease_how = {key: how.pop(key) for key in ("lease_us", "newer_than", "interval_us") if key in how}
        token, stamp = self.lease(subject, newer_than=lease_how.pop("newer_than", "inf"), **lease_how)
        assert self.commit(subject, token, stamp, **how)[0] == "stored"
        return stamp

    def store_earlier_layout(self, subject: Subject = UA) -> None:
        """An entry as processes of an earlier release store it: another flag, and its owner behind."""
        stamp = self.store(subject)
        times = (stamp, self.now(), 300e6, 600e6, 290e6)
        header = struct.pack("<BBH8sddfff8s", 0xC1, 0b100_0000, 0, self.life, *times, bytes(8))
        self.redis.set(self.key(f"e:{subject.member}"), header + b"value")

    def fail(
        self, subject: Subject, token: str, cause: str = "Oops: no", jitter: float = 1.0, keep: str = "never"
    ) -> Any:
        return self.run("fail", subject.member, token, cause, repr(jitter), keep)

    def release(self, subject: Subject, token: str) -> Any:
        return self.run("release", subject.member, token)

    def leave(self, subject: Subject, token: str, cause: str = "unclean", rest_us: int = SECOND) -> Any:
        return self.run("leave", subject.member, token, cause, rest_us)

    def extend(self, *pairs: tuple[Subject, str], lease_us: int = LEASE_US) -> Any:
        return self.run(
            "extend", lease_us, *(part for subject, token in pairs for part in (subject.member, token))
        )

    def invalidate(self, subject: Subject = UA, stale_us: int = 0) -> Any:
        return self.run(
            "invalidate",
            subject.name,
            subject.query,
            f":{subject.tokens}",
            stale_us,
            subject.version,
            FENCE_NAMES,
            FENCE_AGE_US,
        )

    def stamp(self, *names: str, most: int = FENCE_NAMES, age_us: int = FENCE_AGE_US) -> int:
        reply = self.run("stamp", most, age_us, *names)
        assert reply[0] == "stamped", reply
        return cast("int", reply[2])

    def remove(self, stamp: int, *subjects: Subject, name: str = "", stale_us: int = 0) -> Any:
        return self.run("remove", stamp, stale_us, name, *(subject.member for subject in subjects))

    def ask(
        self, subject: Subject = UA, *, claim_us: int = LEASE_US, swept_us: int = 2 * SECOND, tokens: str = ""
    ) -> str:
        return cast("str", self.run("ask", subject.member, claim_us, swept_us, tokens)[0])

    def claim(
        self,
        *queries: str,
        most: int = 100,
        open_at_most: int = 100,
        claim_us: int = LEASE_US,
        who: str = "s1",
    ) -> Any:
        """[now, left, [[member, stamp, due_at, tokens, cost], ...], ...]: see claim.lua."""
        return self.run("claim", who, most, claim_us, open_at_most, *(queries or ("q",)))

    def claimed(self, *queries: str, **how: Any) -> list[str]:
        """The members that a claim takes, in its order."""
        return [taken[0] for taken in self.claim(*queries, **how)[2]]

    def tally(
        self, *reads: tuple[Subject, int], span_us: int = 2 * SECOND, keep: str = "while_read",
        ttl_us: int = 10 * SECOND, idle_us: int = 20 * SECOND, max_kept: int = 100,
    ) -> Any:  # fmt: skip
        parts = [
            part
            for subject, count in reads
            for part in (subject.member, count, keep, ttl_us, idle_us, max_kept)
        ]
        return self.run("tally", span_us, *parts)

    # -- looking

    def token(self) -> str:
        return f"token{next(self._tokens)}"

    def now(self) -> int:
        """The scripts' time."""
        return cast("int", self.run("unclaim")[1])

    def key(self, name: str) -> str:
        return self.root + name

    def blob(self, subject: Subject = UA) -> bytes | None:
        return cast("bytes | None", self.redis.get(self.key(f"e:{subject.member}")))

    def header(self, subject: Subject = UA) -> Header | None:
        blob = self.blob(subject)
        return Header.read(blob) if blob is not None else None

    def due(self, subject: Subject = UA) -> float | None:
        """The entry's score in the due index."""
        return self.redis.zscore(self.key(f"index:{subject.query}"), subject.member)

    def hash(self, name: str, subject: Subject = UA) -> str | None:
        """What a hash of the shard holds for the entry."""
        value = cast("bytes | None", self.redis.hget(self.key(name), subject.member))
        return None if value is None else value.decode()

    def heat(self, subject: Subject = UA) -> Heat | None:
        """How much the entry is read, as the scripts have it."""
        key = self.key("tallies")
        bucket = bucket_of(subject.member, int(self.redis.hget(key, "n") or 1))
        records = cast("bytes | None", self.redis.hget(key, str(bucket)))
        return heat_in(records or b"", subject.member, self.now())

    def advance(self, us: int) -> None:
        """Move the scripts' clock, back where `us` is below 0."""
        self.redis.incrby(self.key("clock"), us)


def _sent(value: Any) -> Any:
    return value if isinstance(value, (bytes, str, int)) else str(value)


def _read(reply: Any) -> Any:
    if isinstance(reply, list):
        return [_read(part) for part in reply]
    if not isinstance(reply, bytes):
        return reply
    try:
        text = reply.decode()
    except UnicodeDecodeError:
        return reply
    if text.lstrip("-").isdigit():
        return int(text)
    return reply if "\0" in text else text
