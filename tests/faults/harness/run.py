"""One run, from an empty database to its verdict."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

from tests.faults.harness.children import CRASHED, children
from tests.faults.harness.disturbing import Disturbing
from tests.faults.harness.oracle import ABOUT
from tests.faults.harness.outbox import Watch, compare
from tests.faults.harness.setting import WINDOWS, Setting
from tests.faults.harness.tables import connect, declare, prepare, watch_strangers
from warmer.testing import ValkeyServer

_STEP_S = 0.1


@dataclass(frozen=True)
class Verdict:
    """What came of a run.

    decided: what became of the entries of lives before, where trust was to return; how many were adopted.
    windows_s: of each commit that was confirmed, the time until no read gives what was before, from when
    COMMIT was sent and from when it was answered. The database shows the new row from some time between.
    """

    seconds: float
    reads: dict[str, int]
    commits: int
    unapplied: int
    entries: int
    died: int
    disturbed: dict[str, int]
    decided: dict[str, int]
    windows_s: list[tuple[float, float]]
    longest_s: float
    wrong: list[dict[str, object]]

    @property
    def caught(self) -> str:
        """The assertion of a promise that was the first not to hold."""
        return next((str(one["assertion"]) for one in self.wrong if one["assertion"] != CRASHED), "")

    @property
    def by_assertion(self) -> dict[str, int]:
        """How often each assertion did not hold."""
        return dict(Counter(str(one["assertion"]) for one in self.wrong))

    def window(self, which: int) -> str:
        """The quantiles of the windows, from COMMIT sent (0) or answered (1)."""
        found = sorted(1000 * one[which] for one in self.windows_s) or [0.0]
        p50, p99 = (found[int((len(found) - 1) * q)] for q in (0.5, 0.99))
        return f"p50 {p50:.2f}, p99 {p99:.2f}, most {found[-1]:.0f} ms"

    def __str__(self) -> str:
        """The table of the report."""
        reads = {kind: n for kind, n in self.reads.items() if kind not in ABOUT and n}
        total, wrong = sum(reads.values()), self.by_assertion
        rate, several = total / self.seconds, " · ".join(f"{kind} {n:,}" for kind, n in reads.items())
        disturbed = " · ".join(f"{kind} {n}" for kind, n in sorted(self.disturbed.items()))
        confirmed, failed = len(self.windows_s), self.reads["errors"]
        lines = [
            f"reads      {total:,} in {self.seconds:.0f} s, {rate:,.0f} a second ({several})",
            f"errors     {failed:,} reads that failed",
            f"writes     {self.commits:,} outbox rows, {self.unapplied} not applied; {confirmed:,} confirmed",
            f"disturbed  {disturbed} · died {self.died}",
            f"window     from COMMIT answered: {self.window(1)}; from COMMIT sent: {self.window(0)}",
            f"           where it was left to a relay: {self.longest_s:.1f} s at most",
            f"at rest    {self.entries} entries compared with the database",
            f"wrong      {len(self.wrong)}",
        ]
        if self.decided:
            lives = " · ".join(f"{told} {n}" for told, n in sorted(self.decided.items()) if told != "adopted")
            adopted, served = self.decided.get("adopted", 0), self.reads["adopted"]
            lines.append(
                f"trust      {lives} · {adopted:,} entries adopted, {served:,} reads served from such"
            )
        lines += [f"           {n} x {said}" for said, n in wrong.items()]
        return "\n".join([*lines, *(f"           first: {one}" for one in self.wrong[:1])])


def run(setting: Setting, server: ValkeyServer, reads: int, limit_s: float, *, until_wrong: bool) -> Verdict:
    """Run until there were so many reads, and each disturbance; at most `limit_s`.

    until_wrong: and not beyond the first promise that is broken.
    """
    prepare(setting)
    oracle, watch = setting.oracle, Watch(setting)
    queries = declare(setting, connect(setting), reader_refresh="never")
    if setting.without != "triggers":
        watch_strangers(queries, connect(setting))
    began = time.monotonic()
    with children(setting) as family:
        disturbing = Disturbing(family, server, queries, setting.dice("disturbing"))
        watch.start()
        while time.monotonic() - began < limit_s:
            time.sleep(_STEP_S)
            if not setting.calm:
                disturbing.step()
            family.tend()
            if oracle.total() >= reads and (setting.calm or disturbing.complete):
                break
            if until_wrong and any(one["assertion"] != CRASHED for one in setting.found_wrong()):
                break
        seconds = time.monotonic() - began
        oracle.stop()
        family.wait("reader", "writer")
        watch.end()
        family.end("worker", "scheduler")
    disturbing.look()
    entries = compare(setting, queries)
    commits, unapplied = watch.counts()
    queries.namespace.close()
    return Verdict(
        seconds, oracle.reads(), commits, unapplied, entries, family.killed, dict(disturbing.done),
        dict(disturbing.decided), _windows(setting), watch.longest_s, setting.found_wrong(),
    )  # fmt: skip


def _windows(setting: Setting) -> list[tuple[float, float]]:
    path = setting.folder / WINDOWS
    lines = path.read_text().splitlines() if path.exists() else []
    return [(float(sent), float(answered)) for sent, answered in map(str.split, lines)]
