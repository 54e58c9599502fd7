"""claim.lua, unclaim.lua: what a scheduler takes of what is due, in which order, and what becomes of it."""

from __future__ import annotations

import pytest

from tests.lua.shard import LEASE_US, SECOND, UA, Shard, Subject


def _kept(shard: Shard, *tokens: str, cost_us: int = 1000) -> list[Subject]:
    """Entries that are kept warm and have all fallen due."""
    subjects = [Subject(token) for token in tokens]
    for subject in subjects:
        shard.store(subject, keep="always", cost_us=cost_us)
    shard.advance(301 * SECOND)
    return subjects


def test_nothing_is_claimed_before_it_is_due(shard: Shard) -> None:
    """An entry is left alone until its due time."""
    shard.store(keep="always")

    now, left, taken, _, _, _ = shard.claim()

    assert (left, taken) == (0, [])
    assert now < (shard.due() or 0)


def test_a_claim_says_what_its_message_needs(shard: Shard) -> None:
    """Member, a stamp of now, since when it is due, the tokens of a digested key, the cost of its last
    load.
    """
    subject = Subject("#0123")
    shard.store(subject, keep="always", tokens="long text", cost_us=1234)
    due_at = shard.due(subject)
    shard.advance(301 * SECOND)
    before = shard.stamp()

    [[member, stamp, due, tokens, cost]] = shard.claim()[2]

    assert (member, due, tokens, cost) == (subject.member, due_at, "long text", 1234)
    assert stamp > before


def test_a_claim_is_made_once(shard: Shard) -> None:
    """Whatever the number of schedulers, an entry is handed out once while its claim lasts."""
    _kept(shard, "UA")

    assert shard.claimed(who="s1") == [UA.member]
    assert shard.claimed(who="s2") == []


def test_a_lost_message_is_due_again_when_its_claim_has_passed(shard: Shard) -> None:
    """A claim of which nothing came is counted, and the entry is claimed again."""
    _kept(shard, "UA")
    assert shard.claimed(claim_us=5 * SECOND) == [UA.member]

    shard.advance(5 * SECOND)
    reply = shard.claim(claim_us=5 * SECOND)

    assert [taken[0] for taken in reply[2]] == [UA.member]
    assert reply[5] == 1


def test_what_saves_its_readers_most_goes_first(shard: Shard) -> None:
    """Reads times cost: a cheap entry that is read much can come before a dear one that is read little."""
    cheap, dear, unread = Subject("cheap"), Subject("dear"), Subject("unread")
    shard.store(cheap, keep="always", cost_us=SECOND)
    shard.store(dear, keep="always", cost_us=10 * SECOND)
    shard.store(unread, keep="always", cost_us=20 * SECOND)
    shard.advance(301 * SECOND)
    shard.tally((cheap, 500), (dear, 10), keep="always")

    first = shard.claimed(most=1)
    rest = shard.claimed()

    assert first == [cheap.member]
    assert rest == [dear.member, unread.member]


def test_no_more_is_claimed_than_asked_for(shard: Shard) -> None:
    """The rest stays due, and is counted."""
    _kept(shard, "A", "B", "C")

    _, left, taken, opened, _, _ = shard.claim(most=2)

    assert (len(taken), left, opened) == (2, 1, 2)
    assert len(shard.claimed()) == 1


def test_no_more_claims_are_open_than_the_workers_will_do_soon(shard: Shard) -> None:
    """What is claimed already counts against the bound, whoever claimed it."""
    _kept(shard, "A", "B", "C")
    shard.claim(open_at_most=2)

    _, left, taken, _, _, _ = shard.claim(open_at_most=2)

    assert (left, taken) == (1, [])


@pytest.mark.parametrize("ends", ["commit", "fail"])
def test_a_settled_claim_makes_room(shard: Shard, ends: str) -> None:
    """When a message's load has ended, well or not, another may be sent, and the count of settled ones
    grows.
    """
    subject, _ = _kept(shard, "A", "B")
    shard.claim(open_at_most=1)
    token, stamp = shard.lease(subject, newer_than="inf")
    if ends == "commit":
        shard.commit(subject, token, stamp, keep="always", wait_us=0)
    else:
        shard.fail(subject, token, keep="always")

    _, _, taken, _, settled, _ = shard.claim(open_at_most=1)

    assert [entry[0] for entry in taken] == ["q@v:B"]
    assert settled == 1


def test_only_queries_that_the_scheduler_knows_are_claimed(shard: Shard) -> None:
    """A scheduler of older code leaves entries of newer queries to others."""
    other = Subject("UA", query="other")
    shard.store(other, keep="always")
    shard.advance(301 * SECOND)

    assert shard.claimed("q") == []
    assert shard.claimed("q", "other") == [other.member]


def test_what_is_being_loaded_is_not_claimed(shard: Shard) -> None:
    """No message for an entry that somebody loads; if nothing comes of that, it is due when the lease
    ends.
    """
    _kept(shard, "UA")
    shard.lease(newer_than="inf", lease_us=2 * SECOND)

    assert shard.claimed(claim_us=100 * SECOND) == []
    shard.advance(2 * SECOND)

    assert shard.claimed() == [UA.member]


def test_what_failed_is_not_claimed_during_its_back_off(shard: Shard) -> None:
    """A failing entry is tried again when its back-off is over."""
    _kept(shard, "UA")
    token, _ = shard.lease(newer_than="inf")
    _, now, until = shard.fail(UA, token, keep="always")
    shard.redis.zadd(shard.key("index:q"), {UA.member: 0})

    assert shard.claimed() == []
    shard.advance(until - now)

    assert shard.claimed() == [UA.member]


def test_an_entry_that_nobody_reads_is_dropped(shard: Shard) -> None:
    """With "while_read", an entry that was not read for idle_after is refreshed no more, and its heat
    forgotten.
    """
    shard.store(keep="while_read", ttl_us=10 * SECOND, grace_us=1000 * SECOND)
    shard.tally((UA, 1))
    shard.advance(11 * SECOND)
    shard.tally((UA, 1))
    assert shard.due() != float("inf")

    shard.advance(21 * SECOND)

    assert shard.claimed() == []
    assert shard.due() == float("inf")
    assert shard.heat() is None


def test_an_entry_kept_for_good_is_never_dropped(shard: Shard) -> None:
    """With keep_warm=True, nobody needs to read it."""
    _kept(shard, "UA")
    shard.tally((UA, 1), keep="always")
    shard.advance(10_000 * SECOND)

    assert shard.claimed() == [UA.member]


def test_a_long_backlog_is_looked_at_from_both_ends(shard: Shard) -> None:
    """Behind hundreds of entries that fell due before it, what is read most is found and goes first."""
    for number in range(450):
        shard.redis.zadd(shard.key("index:q"), {f"q@v:{number}": 1000 + number})
    shard.store(keep="always", cost_us=SECOND, max_kept=1000)
    shard.advance(301 * SECOND)
    shard.tally((UA, 1000), keep="always")

    assert shard.claimed(most=1) == [UA.member]


def test_what_could_not_be_sent_is_due_since_when_it_was(shard: Shard) -> None:
    """With the broker away, a claim is given back with the entry's own due time."""
    _kept(shard, "UA")
    [[member, _, due_at, _, _]] = shard.claim()[2]

    shard.run("unclaim", member, due_at)

    assert shard.due() == due_at
    assert shard.claimed() == [UA.member]


def test_giving_back_what_was_done_meanwhile_changes_nothing(shard: Shard) -> None:
    """A claim that has been settled is no longer there to be given back."""
    _kept(shard, "UA")
    [[member, _, due_at, _, _]] = shard.claim()[2]
    shard.store(keep="always")
    due = shard.due()

    shard.run("unclaim", member, due_at)

    assert shard.due() == due


def test_a_scheduler_is_known_by_its_sweeps(shard: Shard) -> None:
    """Each sweep says that its scheduler lives; one that has not swept for a minute is forgotten."""
    shard.claim(who="a")
    shard.advance(61 * SECOND)
    shard.claim(who="b")

    assert shard.redis.zrange(shard.key("schedulers"), 0, -1) == [b"b"]


def test_a_claim_lasts_as_long_as_it_says(shard: Shard) -> None:
    """The due time moves on by one claim, from the time of the claim."""
    _kept(shard, "UA")

    now = shard.claim(claim_us=LEASE_US)[0]

    assert shard.due() == now + LEASE_US


def test_a_scheduler_claims_what_workers_of_its_release_can_load(shard: Shard) -> None:
    """Entries of another version are left to a scheduler of that release."""
    old, new = Subject("UA", version="1"), Subject("UA", version="2")
    for subject in (old, new):
        shard.store(subject, keep="always")
    shard.advance(301 * SECOND)

    assert shard.claimed("q@2:") == [new.member]
    assert shard.claimed("q@1:") == [old.member]


def test_entries_of_a_release_that_is_gone_are_no_longer_kept_warm(shard: Shard) -> None:
    """When no scheduler takes them for a minute, they make room for what is refreshed."""
    old = Subject("UA", version="1")
    shard.store(old, keep="always")
    shard.advance(301 * SECOND)
    assert shard.claimed("q@2:") == []
    assert (shard.due(old) or 0) < shard.now()

    shard.advance(60 * SECOND + LEASE_US)
    assert shard.claimed("q@2:") == []

    assert shard.due(old) == float("inf")


@pytest.mark.parametrize("why", ["soon", "failed"])
def test_a_message_that_came_for_nothing_makes_room(shard: Shard, why: str) -> None:
    """With a load that may not begin yet, the claim ends, and the entry is due when it may."""
    shard.store(keep="always", interval_us=400 * SECOND)
    shard.advance(301 * SECOND)
    assert shard.claimed() == [UA.member]
    if why == "failed":
        shard.redis.hset(
            shard.key("failures"), UA.member, f"1 {shard.now() + 5 * SECOND} {shard.stamp()} Oops: no"
        )

    kind, now, until, *_ = shard.acquire(newer_than="inf", interval_us=400 * SECOND)

    assert kind == why
    assert now < until == shard.due()
    assert shard.claim()[3] == 0
