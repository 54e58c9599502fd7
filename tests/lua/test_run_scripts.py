"""The scripts of runs: fire.lua, start_run.lua, claim_runs.lua, take_run.lua, feed.lua, close_run.lua, ..."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lua.shard import LEASE_US, SECOND, UA, Shard, Subject

HOUR = 3600 * SECOND
ATTEMPTS = 3


def _fire(shard: Shard, firing_us: int, run: str = "r1", plan: str = "morning") -> str:
    return str(shard.run("fire", plan, firing_us, run, HOUR)[0])


def _known(shard: Shard, plan: str = "morning") -> None:
    """Have the plan been seen a day ago."""
    assert _fire(shard, 0, "never", plan) == "new"
    shard.advance(24 * HOUR)


def _runs(shard: Shard) -> list[str]:
    found: Any = shard.redis.zrange(shard.key("runs"), 0, -1)
    return [run.decode() for run in found]


def _claimed(shard: Shard, claim_us: int = LEASE_US) -> list[str]:
    return [str(run) for run in shard.run("claim_runs", claim_us, 10)[1]]


def _take(shard: Shard, run: str = "r1", token: str = "t1", lease_us: int = LEASE_US) -> str:
    return str(shard.run("take_run", run, token, lease_us, ATTEMPTS)[0])


def _feed(shard: Shard, *subjects: Subject, run: str = "r1") -> list[int]:
    """How many were new, and the shard's total, done and failed."""
    pairs = [part for subject in subjects for part in (subject.member, "")]
    reply: list[int] = shard.run("feed", run, *pairs)[2:]
    return reply


def _record(shard: Shard, run: str = "r1") -> dict[str, str]:
    found: Any = shard.redis.hgetall(shard.key(f"run:{run}"))
    return {name.decode(): value.decode() for name, value in found.items()}


def _start(shard: Shard, run: str = "r1", plan: str = "morning") -> None:
    assert shard.run("start_run", run, "a run", plan)[0] == "started"


# -- firing


def test_a_plan_that_is_new_does_not_fire_for_the_past(shard: Shard) -> None:
    """Its last firing was before anybody had the plan: no run is made, but the next firing makes one."""
    shard.advance(HOUR)
    now = shard.now()

    assert _fire(shard, now - SECOND) == "new"
    assert _runs(shard) == []
    shard.advance(HOUR)
    assert _fire(shard, now + HOUR // 2) == "fired"


def test_a_firing_makes_one_run(shard: Shard) -> None:
    """Whichever scheduler sees it, however often, a firing makes one run, due at once."""
    _known(shard)
    now = shard.now()

    assert _fire(shard, now, "r1") == "fired"
    assert _fire(shard, now, "r2") == "known"
    assert _fire(shard, now - SECOND, "r3") == "known"
    assert _runs(shard) == ["r1"]


def test_a_repeated_firing_says_that_it_fired(shard: Shard) -> None:
    """A scheduler whose reply was lost hears again that its run was made."""
    _known(shard)
    now = shard.now()

    assert [_fire(shard, now, "r1"), _fire(shard, now, "r1")] == ["fired", "fired"]


def test_plans_fire_by_themselves(shard: Shard) -> None:
    """A firing of one plan is none of another."""
    _known(shard, "morning")
    _known(shard, "evening")
    now = shard.now()

    assert _fire(shard, now, "r1", "morning") == "fired"
    assert _fire(shard, now, "r2", "evening") == "fired"


def test_a_firing_is_caught_up_for_a_while(shard: Shard) -> None:
    """What no scheduler saw makes its run later; if it is too long ago, it is passed over for good."""
    _known(shard)
    now = shard.now()

    assert _fire(shard, now - HOUR - SECOND, "r1") == "missed"
    assert _fire(shard, now - HOUR - SECOND, "r1") == "known"
    assert _fire(shard, now - HOUR + SECOND, "r2") == "fired"
    assert _runs(shard) == ["r2"]


def test_a_firing_in_the_future_is_refused(shard: Shard) -> None:
    """A scheduler with a wrong idea of the time must not use up firings to come."""
    _known(shard)
    now = shard.now()

    assert _fire(shard, now + HOUR) == "early"
    assert _fire(shard, now) == "fired"


def test_runs_of_a_slow_plan_do_not_pile_up(shard: Shard) -> None:
    """Of a plan that takes longer than its period, one run goes on and one waits; others are skipped."""
    _known(shard)
    now = shard.now()
    assert _fire(shard, now, "r1") == "fired"
    assert _take(shard, "r1") == "granted"

    for number in (2, 3, 4):
        shard.advance(SECOND)
        assert _fire(shard, now + number * SECOND // 2, f"r{number}") == "fired"

    assert sorted(_runs(shard)) == ["r1", "r4"]
    assert [run for run in ("r1", "r2", "r3", "r4") if "skipped_by" in _record(shard, run)] == ["r2", "r3"]
    assert _take(shard, "r2", "t2") == "over"


# -- claiming and taking


def test_a_run_is_claimed_once_and_again_when_nothing_came_of_it(shard: Shard) -> None:
    """A message may be lost: the run is due again, ever more seldom while nobody takes it."""
    _start(shard)

    assert _claimed(shard, 5 * SECOND) == ["r1"]
    assert _claimed(shard, 5 * SECOND) == []
    shard.advance(5 * SECOND)
    assert _claimed(shard, 5 * SECOND) == ["r1"]
    shard.advance(5 * SECOND)
    assert _claimed(shard, 5 * SECOND) == []
    shard.advance(5 * SECOND)
    assert _claimed(shard, 5 * SECOND) == ["r1"]


def test_a_run_is_in_one_worker_at_a_time(shard: Shard) -> None:
    """While its lease lasts, nobody else gets the run, and no message is sent for it."""
    _start(shard)

    assert _take(shard, token="t1") == "granted"
    assert _take(shard, token="t2") == "held"
    assert _take(shard, token="t1") == "granted"
    assert _claimed(shard) == []


def test_a_dead_workers_run_is_due_again(shard: Shard) -> None:
    """When the lease has run out, the run is claimed, and another worker gets it."""
    _start(shard)
    assert _take(shard, token="t1") == "granted"

    shard.advance(LEASE_US)

    assert _claimed(shard) == ["r1"]
    assert _take(shard, token="t2") == "granted"
    assert shard.run("extend_run", "r1", "t1", LEASE_US, 0) == "lost"


def test_a_heartbeat_keeps_a_run(shard: Shard) -> None:
    """A worker that is alive keeps its run for as long as the generator takes."""
    _start(shard)
    assert _take(shard) == "granted"

    for _ in range(5):
        shard.advance(LEASE_US - SECOND)
        assert shard.run("extend_run", "r1", "t1", LEASE_US, 0) == "held"

    assert _claimed(shard) == []


def test_a_lease_of_an_earlier_life_is_void(shard: Shard) -> None:
    """After a restart of the server, whoever held the run holds it no more."""
    _start(shard)
    assert _take(shard) == "granted"

    shard.life = b"newlife!"

    assert _take(shard, token="t2") == "granted"


def test_two_runs_of_one_plan_do_not_go_on_at_once(shard: Shard) -> None:
    """A run by hand waits for the firing's that is under way; another plan's does not."""
    _start(shard, "r1")
    _start(shard, "r2")
    _start(shard, "r3", "evening")

    assert _take(shard, "r1", "t1") == "granted"
    assert _take(shard, "r2", "t2") == "held"
    assert _take(shard, "r3", "t3") == "granted"
    assert shard.run("close_run", "r1", "t1", "") == "closed"
    assert _take(shard, "r2", "t2") == "granted"


def test_what_kills_its_worker_is_not_tried_for_ever(shard: Shard) -> None:
    """A generator whose workers end one after the other, without progress, ends its run with an error."""
    _start(shard)

    for attempt in range(ATTEMPTS):
        assert _take(shard, token=f"t{attempt}") == "granted"
        shard.advance(LEASE_US)

    assert _take(shard, token="last") == "over"
    assert _record(shard)["error"].startswith("WorkerLost: ")
    assert _runs(shard) == []


def test_progress_begins_the_count_of_attempts_anew(shard: Shard) -> None:
    """A long run that gets on may lose any number of workers."""
    _start(shard)

    for attempt in range(2 * ATTEMPTS):
        assert _take(shard, token=f"t{attempt}") == "granted"
        assert shard.run("extend_run", "r1", f"t{attempt}", LEASE_US, 1) == "held"
        shard.advance(LEASE_US)


def test_a_run_that_is_given_back_is_due_at_once(shard: Shard) -> None:
    """A worker that stops hands its run on without a wait, and that is not counted against the run."""
    _start(shard)

    for attempt in range(2 * ATTEMPTS):
        assert _take(shard, token=f"t{attempt}") == "granted"
        assert shard.run("release_run", "r1", f"t{attempt}", 0) == "released"
        assert _claimed(shard) == ["r1"]

    assert shard.run("release_run", "r1", "t0", 0) == "lost"


# -- feeding


def test_what_a_run_feeds_is_due_now(shard: Shard) -> None:
    """An entry that is fed is claimed next, whether or not it was known, and counts once."""
    _start(shard)

    assert _feed(shard, UA, Subject("DL")) == [2, 2, 0, 0]
    assert _feed(shard, UA) == [0, 2, 0, 0]
    assert sorted(shard.claimed()) == [Subject("DL").member, UA.member]


def test_a_load_that_began_after_it_was_fed_counts(shard: Shard) -> None:
    """The commit of a later load settles the entry for the run."""
    _start(shard)
    _feed(shard, UA)

    shard.store()

    assert _feed(shard, UA) == [0, 1, 1, 0]
    assert shard.hash("warming") is None


def test_a_load_that_began_before_it_was_fed_does_not_count(shard: Shard) -> None:
    """The run asked for a load anew: the earlier one is stored, and the entry is due again at once."""
    token, stamp = shard.lease()
    _start(shard)
    _feed(shard, UA)

    assert shard.commit(UA, token, stamp)[0] == "stored"

    assert _feed(shard, UA) == [0, 1, 0, 0]
    assert shard.claimed() == [UA.member]
    shard.store()
    assert _feed(shard, UA) == [0, 1, 1, 0]


def test_one_load_settles_all_the_runs_that_wait_for_it(shard: Shard) -> None:
    """Runs that fed one entry share its load."""
    for run in ("r1", "r2"):
        _start(shard, run, run)
        _feed(shard, UA, run=run)

    shard.store()

    assert [_feed(shard, UA, run=run) for run in ("r1", "r2")] == [[0, 1, 1, 0], [0, 1, 1, 0]]


def test_a_failed_load_counts_as_failed_with_its_cause(shard: Shard) -> None:
    """The run knows the first few causes; an entry that nobody keeps warm is not tried again."""
    _start(shard)
    subjects = [Subject(f"C{number}") for number in range(8)]
    _feed(shard, *subjects)

    for subject in subjects:
        shard.fail(subject, shard.lease(subject)[0], "OperationalError: no such table")

    record = _record(shard)
    assert record["failed"] == "8"
    assert record["failure:1"] == f"{subjects[0].member} OperationalError: no such table"
    assert sum(name.startswith("failure:") for name in record) == 5
    assert shard.due(subjects[0]) == float("inf")


def test_a_failure_from_before_it_was_fed_does_not_count(shard: Shard) -> None:
    """The earlier load's failure is not the run's: the entry is tried for the run after the back-off."""
    token, _ = shard.lease()
    _start(shard)
    _feed(shard, UA)

    shard.fail(UA, token)

    assert _feed(shard, UA) == [0, 1, 0, 0]
    shard.advance(2 * SECOND)
    assert shard.claimed() == [UA.member]


def test_a_run_tries_what_failed_a_moment_ago(shard: Shard) -> None:
    """A back-off is over for what a run feeds; the next one is as long as it would have been."""
    shard.fail(UA, shard.lease()[0])
    _start(shard)
    _feed(shard, UA)

    assert shard.claimed() == [UA.member]
    token, _ = shard.lease()
    shard.fail(UA, token, jitter=1.0)
    assert (shard.hash("failures") or "").startswith("2 ")


def test_a_refused_load_is_done_again_for_the_run(shard: Shard) -> None:
    """An invalidation between lease and commit leaves the entry due, and the run waiting for it."""
    _start(shard)
    _feed(shard, UA)
    token, stamp = shard.lease()
    shard.invalidate()

    assert shard.commit(UA, token, stamp)[0] == "refused"

    assert _feed(shard, UA) == [0, 1, 0, 0]
    assert shard.claimed() == [UA.member]


def test_a_message_that_is_under_way_will_do(shard: Shard) -> None:
    """An entry that is claimed and not yet loading gets no second message for the run."""
    shard.store(keep="always")
    shard.advance(301 * SECOND)
    assert shard.claimed() == [UA.member]
    _start(shard)

    _feed(shard, UA)

    assert shard.claimed() == []
    shard.store()
    assert _feed(shard, UA) == [0, 1, 1, 0]


def test_an_entry_that_nobody_keeps_is_loaded_once(shard: Shard) -> None:
    """What is warmed by hand and not kept warm is left to expire."""
    _start(shard)
    _feed(shard, UA)

    shard.store(keep="never")

    assert shard.due() == float("inf")
    shard.advance(HOUR)
    assert shard.claimed() == []


def test_an_idle_entry_is_not_dropped_while_a_run_waits_for_it(shard: Shard) -> None:
    """A run's wish counts as much as a reader's."""
    shard.tally((UA, 5), ttl_us=SECOND, idle_us=20 * SECOND)
    shard.advance(2 * SECOND)
    shard.tally((UA, 5), ttl_us=SECOND, idle_us=20 * SECOND)
    shard.advance(HOUR)
    _start(shard)
    _feed(shard, UA)

    assert shard.claimed() == [UA.member]


def test_the_turn_in_a_long_run_is_not_the_queues_wait(shard: Shard) -> None:
    """Entries that waited for their turn in a run say nothing of how long messages wait."""
    _start(shard)
    _feed(shard, UA)
    shard.advance(HOUR)

    [[_, _, due_at, _, _]] = shard.claim()[2]

    assert due_at >= shard.now() - SECOND


def test_a_load_that_is_not_stored_counts_as_failed(shard: Shard) -> None:
    """A run ends, and says why, though the loads of its entries must not be stored."""
    _start(shard)
    _feed(shard, UA)

    shard.leave(UA, shard.lease()[0], "it read in another's transaction")

    assert _feed(shard, UA) == [0, 1, 0, 1]
    assert _record(shard)["failure:1"] == f"{UA.member} it read in another's transaction"


def test_a_run_that_is_forgotten_is_not_brought_back_by_a_late_load(shard: Shard) -> None:
    """The commit of an entry of a forgotten run makes no new record of it."""
    _start(shard)
    _feed(shard, UA)
    shard.run("forget_run", "r1", "all")

    shard.store()

    assert _record(shard) == {}
    assert shard.hash("warming") is None


# -- the end of feeding


@pytest.mark.parametrize(("error", "field"), [("", "fed_at"), ("ValueError: no", "error")])
def test_a_run_whose_generator_has_ended_is_not_due(shard: Shard, error: str, field: str) -> None:
    """Ended well or not, it needs no worker any more; saying so twice is no harm."""
    _start(shard)
    assert _take(shard) == "granted"

    assert shard.run("close_run", "r1", "t1", error) == "closed"
    assert shard.run("close_run", "r1", "t1", error) == "closed"

    assert field in _record(shard)
    assert (_runs(shard), _take(shard, token="t2")) == ([], "over")


def test_a_worker_that_was_paused_does_not_end_the_run_of_another(shard: Shard) -> None:
    """Who lost the lease can't say that all is fed."""
    _start(shard)
    assert _take(shard, token="t1") == "granted"
    shard.advance(LEASE_US)
    assert _take(shard, token="t2") == "granted"

    assert shard.run("close_run", "r1", "t1", "") == "lost"
    assert "fed_at" not in _record(shard)
    assert shard.run("close_run", "r1", "t2", "") == "closed"


def test_a_run_by_hand_needs_no_worker(shard: Shard) -> None:
    """Whoever gives the entries feeds them itself; the run is listed, and never due."""
    _start(shard, plan="")

    assert _runs(shard) == []
    assert shard.run("close_run", "r1", "", "") == "closed"
    assert shard.redis.zscore(shard.key("history"), "r1") is not None


def test_a_run_that_has_gone_is_not_claimed(shard: Shard) -> None:
    """A run without a record leaves the index."""
    _start(shard)
    shard.redis.delete(shard.key("run:r1"))

    assert _claimed(shard) == []
    assert _runs(shard) == []
    assert _take(shard) == "over"


def test_forgetting_what_was_seen_keeps_the_record(shard: Shard) -> None:
    """What keeps a run from feeding twice can go before what is told of it."""
    _start(shard)
    _feed(shard, UA)

    assert shard.run("forget_run", "r1", "seen") == "forgotten"

    exists: Any = shard.redis.exists
    assert exists(shard.key("run:r1:seen")) == 0
    assert _record(shard)["total"] == "1"
