"""ask.lua, tally.lua: what readers say of an entry."""

from __future__ import annotations

import pytest

from tests.lua.shard import LEASE_US, SECOND, UA, Shard, Subject

CLAIM = 10 * SECOND
TTL = 10 * SECOND
IDLE = 20 * SECOND


def test_asking_makes_an_entry_due_now(shard: Shard) -> None:
    """With a scheduler alive, an entry that somebody asks for is claimed by the next sweep."""
    shard.store()
    shard.claim()

    assert shard.ask() == "asked"
    assert shard.claimed() == [UA.member]


def test_a_thousand_who_ask_cost_one_refresh(shard: Shard) -> None:
    """Asking again changes nothing while the entry is due, claimed or being loaded."""
    shard.store()
    shard.claim()
    assert shard.ask() == "asked"
    due = shard.due()
    assert shard.ask() == "due"
    assert shard.due() == due
    assert shard.claimed() == [UA.member]
    assert shard.ask() == "claimed"
    shard.lease(newer_than="inf")
    assert shard.ask() == "leased"
    assert shard.claimed() == []


def test_without_a_scheduler_the_reader_is_told_so(shard: Shard) -> None:
    """Where nobody sweeps, or nobody has for a while, asking helps nobody."""
    shard.store()
    assert shard.ask() == "unswept"

    shard.claim()
    shard.advance(3 * SECOND)

    assert shard.ask(swept_us=2 * SECOND) == "unswept"
    assert shard.due() == float("inf")


def test_an_entry_that_is_due_for_longer_than_a_claim_is_overdue(shard: Shard) -> None:
    """Schedulers sweep and don't claim it: a reader may load it."""
    shard.store()
    shard.claim()
    shard.ask()
    shard.advance(CLAIM + 1)
    shard.claim("other")

    assert shard.ask(claim_us=CLAIM) == "overdue"


def test_an_entry_that_is_claimed_in_vain_is_overdue_too(shard: Shard) -> None:
    """Workers that do nothing: the entry is claimed again and again, and is long past its due time."""
    shard.store(keep="always")
    shard.advance(299 * SECOND + 2 * CLAIM)
    assert shard.claimed() == [UA.member]
    assert shard.ask(claim_us=CLAIM) == "claimed"

    shard.advance(2 * SECOND)
    shard.claim()

    assert shard.ask(claim_us=CLAIM) == "overdue"


def test_a_failing_entry_is_not_asked_for(shard: Shard) -> None:
    """During a back-off, readers go on with the stale value and trouble nobody."""
    shard.store()
    shard.claim()
    token, _ = shard.lease(newer_than="inf")
    shard.fail(UA, token)

    assert shard.ask() == "failing"


def test_an_entry_that_is_not_there_can_be_asked_for(shard: Shard) -> None:
    """A reader that waits for a worker makes an entry due that was never loaded, tokens included."""
    subject = Subject("#0123")
    shard.claim()

    assert shard.ask(subject, tokens="long text") == "asked"
    [[member, _, _, tokens, _]] = shard.claim()[2]
    assert (member, tokens) == (subject.member, "long text")


def test_the_first_read_admits_nothing(shard: Shard) -> None:
    """An entry that was read in one ttl only is not kept warm."""
    shard.store(ttl_us=TTL)
    for _ in range(5):
        shard.tally((UA, 100), ttl_us=TTL)
        shard.advance(SECOND)

    assert shard.due() == float("inf")


def test_a_second_read_in_a_later_ttl_admits(shard: Shard) -> None:
    """From then on the entry is due at the time that its header says."""
    shard.store(ttl_us=TTL)
    shard.tally((UA, 1), ttl_us=TTL)
    shard.advance(TTL + SECOND)
    shard.tally((UA, 1), ttl_us=TTL)

    header = shard.header()
    assert header is not None
    assert shard.due() == header.due_at


def test_a_read_after_a_long_pause_begins_anew(shard: Shard) -> None:
    """Two reads that lie further apart than idle_after admit nothing."""
    shard.store(ttl_us=TTL, grace_us=1000 * SECOND)
    shard.tally((UA, 1), ttl_us=TTL, idle_us=IDLE)
    shard.advance(IDLE + SECOND)
    shard.tally((UA, 1), ttl_us=TTL, idle_us=IDLE)

    assert shard.due() == float("inf")


@pytest.mark.parametrize("keep", ["never", "always"])
def test_only_while_read_is_admitted_by_reads(shard: Shard, keep: str) -> None:
    """Reads decide nothing for entries that are kept for good, or never."""
    shard.store(ttl_us=TTL, keep=keep)
    due = shard.due()
    shard.tally((UA, 1), ttl_us=TTL, keep=keep)
    shard.advance(TTL + SECOND)
    shard.tally((UA, 1), ttl_us=TTL, keep=keep)

    assert shard.due() == due


def test_no_more_are_admitted_than_max_kept(shard: Shard) -> None:
    """What is over the bound is counted, and served like any entry that is not kept."""
    subjects = [Subject("A"), Subject("B")]
    for subject in subjects:
        shard.store(subject, ttl_us=TTL)
    shard.tally(*((subject, 1) for subject in subjects), ttl_us=TTL, max_kept=1)
    shard.advance(TTL + SECOND)
    shard.tally(*((subject, 1) for subject in subjects), ttl_us=TTL, max_kept=1)

    assert [shard.due(subject) != float("inf") for subject in subjects] == [True, False]
    assert shard.redis.hget(shard.key("over"), "q") == b"1"


def test_an_entry_that_is_admitted_while_it_is_gone_is_due_now(shard: Shard) -> None:
    """An admitted entry whose value has expired stands in the index, and is loaded at once."""
    shard.store(ttl_us=TTL, grace_us=1000 * SECOND)
    shard.tally((UA, 1), ttl_us=TTL)
    shard.advance(TTL + SECOND)
    shard.redis.delete(shard.key(f"e:{UA.member}"))
    shard.tally((UA, 1), ttl_us=TTL)

    assert shard.claimed() == [UA.member]


def test_the_rate_follows_what_is_read(shard: Shard) -> None:
    """Reports of 50 reads in 2 s, again and again, come to 25 reads a second, and fall when they cease."""
    for _ in range(30):
        shard.advance(2 * SECOND)
        shard.tally((UA, 50), span_us=2 * SECOND, ttl_us=TTL)
    read = _rate(shard)
    for _ in range(30):
        shard.advance(2 * SECOND)
        shard.tally((UA, 0), span_us=2 * SECOND, ttl_us=TTL)

    assert read == pytest.approx(25, rel=0.05)
    assert _rate(shard) < 0.1


def test_several_processes_add_up(shard: Shard) -> None:
    """Four processes that each read 25 times a second come to 100."""
    for _ in range(120):
        shard.advance(SECOND // 2)
        shard.tally((UA, 50), span_us=2 * SECOND, ttl_us=TTL)

    assert _rate(shard) == pytest.approx(100, rel=0.1)


def _rate(shard: Shard) -> float:
    heat = shard.heat()
    assert heat is not None
    return heat.reads_per_second


def test_who_saw_the_last_value_does_not_ask_for_the_next_but_one(shard: Shard) -> None:
    """A reader asks beside its read: if the refresh has been stored meanwhile, nothing is due."""
    seen = shard.store(keep="always")
    later = shard.store(keep="always")
    shard.claim()
    due_at = shard.due()

    def ask(stamp: int) -> str:
        return str(shard.run("ask", UA.member, LEASE_US, 2 * SECOND, "", stamp)[0])

    assert ask(seen) == "refreshed"
    assert shard.due() == due_at
    assert ask(later) == "asked"
