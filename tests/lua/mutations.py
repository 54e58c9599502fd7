"""Scripts broken on purpose, one line at a time, and what must notice.

`python -m tests.lua.mutations` runs the scripts as they are through 2,000 sequences of 40 steps at most, and
then shows for each mutant which check caught it, and after how many steps.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.lua.protocol_machine import ProtocolMachine
from warmer import lua


@dataclass(frozen=True)
class Mutation:
    """A text of one script that is replaced. seed: with which it was caught soonest; any may be tried."""

    name: str
    script: str
    old: str
    new: str
    seed: int = 0

    def source(self, script: str) -> str:
        """The script, broken if it is the one."""
        text = lua.source(script)
        if script != self.script:
            return text
        assert text.count(self.old) == 1, f"{self.name}: {self.old!r} is there {text.count(self.old)} times"
        return text.replace(self.old, self.new)


MUTATIONS = (
    Mutation(
        "commit forgets the fence",
        "commit",
        "if lease.doomed or barred or newest >= stamp or over <= now then",
        "if lease.doomed then",
    ),
    Mutation(
        "commit forgets the last name",
        "commit",
        "newest_fence(21, #ARGV)",
        "newest_fence(21, #ARGV - 1)",
        seed=21,
    ),
    Mutation(
        "commit forgets the floor",
        "commit",
        "local newest = tonumber(redis.call('GET', root .. 'floor') or 0)",
        "local newest = 0",
    ),
    Mutation(
        "commit forgets the token",
        "commit",
        "held.token == token and held.stamp == stamp",
        "true",
        seed=2,
    ),
    Mutation(
        "commit forgets that it is doomed",
        "commit",
        "if lease.doomed or barred or newest >= stamp or over <= now then",
        "if not lease.doomed and newest >= stamp then",
    ),
    Mutation(
        "commit says lost when it is repeated",
        "commit",
        "if header and header.stamp == stamp and header.life == life then",
        "if false then",
    ),
    Mutation(
        "commit keeps its lease",
        "commit",
        "redis.call('HDEL', root .. 'leases', member)\nredis.call('HDEL', root .. 'failures', member)",
        "redis.call('HDEL', root .. 'failures', member)",
    ),
    Mutation(
        "a refused commit keeps its lease",
        "commit",
        "redis.call('HDEL', root .. (lease.doomed and 'doomed' or 'leases'), member)",
        "",
    ),
    Mutation(
        "leases outlive the server's life",
        "commit",
        "if f[5] ~= life or tonumber(f[3]) <= now then return nil end",
        "if tonumber(f[3]) <= now then return nil end",
        seed=4,
    ),
    Mutation(
        "leases never run out",
        "commit",
        "if f[5] ~= life or tonumber(f[3]) <= now then return nil end",
        "if f[5] ~= life then return nil end",
    ),
    Mutation(
        "acquire ignores a live lease",
        "acquire",
        "if lease and (lease.stamp >= fence or aside) then",
        "if false then",
    ),
    Mutation(
        "acquire lets a third load start",
        "acquire",
        "if lease and (lease.stamp >= fence or aside) then",
        "if lease and lease.stamp >= fence then",
        seed=1,
    ),
    Mutation(
        "acquire lets no second load start",
        "acquire",
        "if lease and (lease.stamp >= fence or aside) then",
        "if lease then",
        seed=1,
    ),
    Mutation(
        "acquire forgets who is doomed",
        "acquire",
        "if lease then write_lease('doomed', member, lease) end",
        "",
        seed=1,
    ),
    Mutation(
        "acquire answers with the value of an earlier life",
        "acquire",
        "if header and header.life == life and header.stamp > newer_than",
        "if header and header.stamp > newer_than",
    ),
    Mutation(
        "acquire answers with too old a value",
        "acquire",
        "header.stamp > newer_than",
        "header.stamp > 0",
    ),
    Mutation(
        "acquire hands a value to everybody",
        "acquire",
        "loaded.stamp > arrived",
        "loaded.stamp > 0",
    ),
    Mutation(
        "acquire hands a value over a restart",
        "acquire",
        "if loaded and loaded.life == life and",
        "if loaded and",
    ),
    Mutation(
        "a failure outlives the next invalidation",
        "acquire",
        "and tonumber(stamp) > fence then",
        "then",
        seed=1,
    ),
    Mutation(
        "a failure is not shared",
        "acquire",
        "if tonumber(until_us) > now and",
        "if false and",
        seed=19,
    ),
    Mutation(
        "who insists waits for the back-off",
        "acquire",
        "local failure = ARGV[8] ~= '1' and redis.call",
        "local failure = redis.call",
        seed=20,
    ),
    Mutation(
        "a repeated call gets another lease",
        "acquire",
        "if lease and lease.token == token then return",
        "if false then return",
    ),
    Mutation(
        "a lease may outlast its load's timeout",
        "extend",
        "lease.expires = math.min(now + tonumber(ARGV[2]), lease.deadline)",
        "lease.expires = now + tonumber(ARGV[2])",
    ),
    Mutation(
        "a heartbeat extends whoever holds the lease",
        "extend",
        "if lease and lease.token == token then",
        "if lease then",
    ),
    Mutation(
        "a heartbeat forgets the doomed",
        "extend",
        "for _, hash in ipairs({'leases', 'doomed'}) do",
        "for _, hash in ipairs({'leases'}) do",
        seed=3,
    ),
    Mutation(
        "fail ends anybody's lease",
        "fail",
        "if held[1] ~= token or held[5] ~= life then return",
        "if not held[1] then return",
        seed=66,
    ),
    Mutation(
        "release ends anybody's lease",
        "release",
        "if lease and lease.token == token then",
        "if lease then",
        seed=118,
    ),
    Mutation(
        "an invalidation does not stamp",
        "invalidate",
        "for i = first, last do redis.call('ZADD', fence, text(stamp), ARGV[i]) end",
        "",
    ),
    Mutation(
        "an invalidation removes nothing",
        "invalidate",
        "redis.call('UNLINK', unpack(keys))",
        "",
    ),
    Mutation(
        "an invalidation ends no lease",
        "invalidate",
        "    redis.call('HDEL', root .. 'leases', member)\n    write_lease('doomed', member, lease)\n",
        "",
        seed=3,
    ),
    Mutation(
        "an invalidation dooms a second load",
        "invalidate",
        "lease.stamp < stamp and not live_lease('doomed', member) then",
        "lease.stamp < stamp then",
    ),
    Mutation(
        "removing takes newer values, too",
        "remove",
        "if stored and stored < stamp then",
        "if stored then",
        seed=6,
    ),
    Mutation(
        "removing ends newer loads, too",
        "remove",
        "if lease and lease.stamp < stamp and not",
        "if lease and not",
        seed=7,
    ),
    Mutation(
        "the fence lets go without raising the floor",
        "stamp",
        "    floor = at\n",
        "",
    ),
    Mutation(
        "the sequence stands still",
        "stamp",
        "math.max(now, tonumber(redis.call('GET', root .. 'seq') or 0) + 1)",
        "math.max(now - now % 100000000000000, tonumber(redis.call('GET', root .. 'seq') or 0))",
    ),
)


def machine(url: str, source: Callable[[str], str]) -> type[ProtocolMachine]:
    """The machine on a server, with these scripts."""

    class Bound(ProtocolMachine):
        pass

    Bound.url, Bound.source = url, staticmethod(source)
    return Bound


def hunt(url: str, mutation: Mutation, most_examples: int) -> tuple[str, int] | None:
    """Run the machine on a mutant: what the check said that caught it, and after how many steps; or None.

    From several seeds: one may circle where nothing happens.
    """
    steps = 0
    for number, examples in ((mutation.seed, 25), *((number, most_examples // 4) for number in range(4))):
        caught, some = _hunted(url, mutation, number, examples)
        steps += some
        if caught is not None:
            return caught, steps
    return None


def _hunted(url: str, mutation: Mutation, number: int, most_examples: int) -> tuple[str | None, int]:
    hunting = settings(
        max_examples=most_examples, stateful_step_count=40, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), phases=(Phase.generate,), report_multiple_bugs=False,
    )  # fmt: skip
    bound = machine(url, mutation.source)
    try:
        run_state_machine_as_test(seed(number)(bound), settings=hunting)
    except AssertionError as caught:
        return re.sub(r"\s*\n.*", "", str(caught), flags=re.DOTALL), bound.steps
    return None, bound.steps


def main() -> int:
    """Run the scripts as they are, then hunt the mutants; the exit code is how many of them got away."""
    from warmer.testing import ValkeyServer

    away = 0
    with ValkeyServer() as server:
        whole = machine(server.url, lua.source)
        run_state_machine_as_test(whole, settings=settings(
            max_examples=2000, stateful_step_count=40, deadline=None, database=None,
            suppress_health_check=list(HealthCheck),
        ))  # fmt: skip
        sys.stdout.write(f"{whole.steps:,} steps, each as the model says\n")
        for mutation in MUTATIONS:
            caught = hunt(server.url, mutation, 400)
            away += caught is None
            told = "GOT AWAY" if caught is None else f"{caught[1]:5} steps: {caught[0]}"
            sys.stdout.write(f"{mutation.name:55} {told}\n")
            sys.stdout.flush()
    return away


if __name__ == "__main__":
    raise SystemExit(main())
