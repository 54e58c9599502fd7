"""The demo's figures, its promises, and how they are shown."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import pytest
from rich.console import Console

from demo import messages, screen
from demo.figures import Figures, quantile
from demo.judging import Evidence
from demo.messages import Batch, Read, Write
from demo.setting import Setting
from demo.standing import Standing

HIT = Read(entry=0, began_s=0.5, took_s=0.0004, waited=False, stamp=100, missing=0)


def _waited(entry: int, stamp: int, took_s: float = 0.1, began_s: float = 1.5) -> Read:
    return Read(entry, began_s, took_s, waited=True, stamp=stamp, missing=0)


def _standing(entries: int = 2) -> Standing:
    return Standing(Setting(seconds=4.0), entries, Evidence(10**9))


@pytest.mark.parametrize(
    ("share", "value"), [(0.5, 2.0), (0.51, 3.0), (0.75, 3.0), (0.99, 4.0), (1.0, 4.0), (0.0, 1.0)]
)
def test_a_quantile_is_the_nearest_rank(share: float, value: float) -> None:
    """A quantile is a value that was measured: the smallest that enough of them do not exceed."""
    assert quantile([4.0, 1.0, 3.0, 2.0], share) == value


def test_a_quantile_of_nothing_is_not_a_number() -> None:
    """Where nothing was measured no figure is made up."""
    assert math.isnan(quantile([], 0.5))


def test_reads_are_counted_by_what_became_of_them() -> None:
    """Served, waited and stale reads are told apart, the slowest of each second is kept."""
    figures = Figures()
    figures.add([HIT, replace_read(HIT, missing=2), _waited(0, 300, took_s=0.2), _waited(0, 400, took_s=0.1)])
    assert (figures.reads, figures.stale, figures.most_missing, len(figures.waits)) == (4, 1, 2, 2)
    assert figures.warm_share == 0.5
    assert (figures.seconds.slowest_s[0], figures.seconds.slowest_s[1]) == (0.0004, 0.2)


def replace_read(read: Read, *, missing: int) -> Read:
    """The same read of a value that lacks so many changes."""
    return Read(read.entry, read.began_s, read.took_s, read.waited, read.stamp, missing)


def test_waits_are_told_apart_by_proof_and_without_evidence_all_are_expiries() -> None:
    """Only what an invalidation explains is counted as caused by it; the plain cache has no such excuse."""
    figures, evidence = Figures(), Evidence(10**9)
    figures.add([_waited(0, 300, took_s=0.2), _waited(1, 300, took_s=0.1)])
    for stamp in (100, 300):
        evidence.saw(0, stamp)
        evidence.saw(1, stamp)
    evidence.invalidated(0, 200)
    assert figures.waits_by_cause(evidence) == ([0.1], [0.2])
    assert figures.waits_by_cause(None) == ([0.2, 0.1], [])


def test_what_processes_tell_survives_the_wire() -> None:
    """A batch is one line, and comes back as it was."""
    batch = Batch(
        "warmer",
        reads=[HIT],
        writes=[Write(0.5, 0.01, "UA 1545", None, {3: 1795309647079566})],
        errors=["WaitTimeout: 5 s\nand more"],
        behind_s=0.25,
    )
    line = messages.encode(batch)
    assert line.count(b"\n") == 1
    assert messages.decode(line) == batch


def test_a_standing_adds_up_what_it_hears() -> None:
    """Reads go to their cache's figures, writes to the evidence, errors to the list."""
    standing = _standing()
    standing.hear(Batch("warmer", reads=[HIT, _waited(0, 300)], behind_s=0.5))
    standing.hear(Batch("plain", reads=[HIT], errors=["no"], behind_s=9.0, dropped=5))
    standing.hear(Batch("warmer", writes=[Write(1.0, 0.02, "UA 1545", 47, {0: 200, 1: 201})]))
    warm, plain = standing.columns(2.0)
    assert (warm.reads, warm.reads_per_s, warm.invalidated, warm.expired) == (2, 1.0, 1, 0)
    assert (plain.reads, plain.expired, plain.dropped) == (1, 0, 5)
    assert (standing.writes, standing.invalidations, standing.last_flight) == (1, 2, "UA 1545 47 min late")
    assert (standing.errors, standing.behind_s) == (["plain: no"], 0.5)


def _kept() -> Standing:
    """A performance of which every promise was kept."""
    standing = _standing(entries=1)
    standing.hear(Batch("warmer", reads=[replace_stamp(HIT, stamp) for stamp in range(100, 800, 100)] * 6))
    standing.warm_statements = 2
    return standing


def replace_stamp(read: Read, stamp: int) -> Read:
    """The same read of a value with another lease stamp."""
    return Read(read.entry, read.began_s, read.took_s, read.waited, stamp, read.missing)


def test_a_good_performance_keeps_every_promise() -> None:
    """With no wait for an expiry, nothing stale and few statements, all promises hold."""
    assert all(promise.held for promise in _kept().promises([]))


@pytest.mark.parametrize(
    ("batch", "statements", "differing", "broken"),
    [
        (Batch("warmer", reads=[_waited(0, 900)]), 2, [], "expired"),
        (Batch("warmer", reads=[replace_read(HIT, missing=1)]), 2, [], "stale"),
        (Batch("warmer"), 3, [], "times fewer SQL"),
        (Batch("warmer"), 2, ["boards.departures(...)"], "what the database says"),
        (Batch("plain", errors=["away"]), 2, [], "failed"),
        (Batch("warmer", dropped=1), 2, [], "too late"),
        (Batch("warmer", writes=[Write(1.0, 0.02, "UA 1", 4, {0: 750})]), 2, [], "lived through"),
    ],
)
def test_each_promise_can_be_broken_by_itself(
    batch: Batch, statements: int, differing: list[str], broken: str
) -> None:
    """One bad thing breaks one promise, and no other."""
    standing = _kept()
    standing.hear(batch)
    standing.warm_statements = statements
    failed = [promise.what for promise in standing.promises(differing) if not promise.held]
    assert len(failed) == 1
    assert broken in failed[0]


def test_an_entry_that_is_not_replaced_often_enough_breaks_the_promise() -> None:
    """Four expiries are not five."""
    standing = _standing(entries=1)
    standing.hear(Batch("warmer", reads=[replace_stamp(HIT, stamp) for stamp in range(5)] * 20))
    standing.warm_statements = 1
    assert [promise.measured for promise in standing.promises([]) if not promise.held] == [
        "4 at least, of 1 entries"
    ]


def test_no_statement_at_all_is_not_held_against_it() -> None:
    """Reads for each of zero statements are infinitely many, not an error."""
    warm, _ = replace(_kept(), warm_statements=0).columns(1.0)
    assert warm.reads_per_statement == math.inf


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(math.nan, "-"), (0.0004, "0.4 ms"), (0.085, "85 ms"), (0.9994, "999 ms"), (1.94, "1.9 s")],
)
def test_times_are_shown_for_people(seconds: float, shown: str) -> None:
    """Times come with a unit that fits, and a dash where nothing was measured."""
    assert screen.milliseconds(seconds) == shown


def test_a_sparkline_is_logarithmic_and_never_out_of_range() -> None:
    """What takes no time and what takes for ever are at the ends of the scale."""
    assert screen.sparkline([0.0, 0.001, 0.055, 3.0, 60.0]) == "▁▁▅██"


def test_the_summary_shows_the_figures_of_both_caches_and_the_promises() -> None:
    """Summary and live table render, with figures, chart and verdicts in them."""
    standing = _kept()
    standing.hear(Batch("plain", reads=[_waited(0, 0, took_s=2.0)], errors=["away"]))
    out = Console(file=io.StringIO(), width=120)
    out.print(screen.live(standing, 2.0))
    out.print(screen.summary(standing, standing.promises([])))
    assert isinstance(out.file, io.StringIO)
    text = out.file.getvalue()
    for expected in ("2 of 4 s", "waited: the entry had expired", "held", "BROKEN", "plain: away", "100.00%"):
        assert expected in text


@pytest.mark.parametrize("seconds", [30, 60, 61, 600])
def test_the_chart_fits_into_eighty_columns(seconds: int) -> None:
    """A chart of a play of any length has one line a cache, with the slowest read of all at its end."""
    figures = Figures()
    figures.add(_waited(0, 100, took_s=1.94, began_s=float(second)) for second in range(seconds + 3))
    out = Console(file=io.StringIO(), width=80)
    out.print(screen.chart(figures.seconds, figures.seconds, seconds))
    assert isinstance(out.file, io.StringIO)
    lines = out.file.getvalue().strip().splitlines()
    assert len(lines) == 3
    assert all(line.rstrip().endswith("1.9 s") for line in lines[1:])
    assert lines[1].count("█") == min(seconds, 60)
