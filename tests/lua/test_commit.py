"""commit.lua: the swap, what it refuses, and what it writes beside the value."""

from __future__ import annotations

import pytest

from tests.lua.shard import SECOND, UA, Shard, Subject, new_life
from warmer.core.header import DIGESTED, HEADER_SIZE, NO_LIFE, Header


def test_a_commit_under_its_lease_stores_value_and_header(shard: Shard) -> None:
    """The value is there with the lease's stamp, and the header that came back is the one that is stored."""
    token, stamp = shard.lease()

    kind, now, header, _ = shard.commit(
        UA, token, stamp, payload=b"rows", cost_us=1234, ttl_us=10 * SECOND, grace_us=5 * SECOND
    )

    assert kind == "stored"
    assert shard.blob() == header + b"rows"
    read = Header.read(header)
    assert read is not None
    assert (read.stamp, read.cost_us, read.life) == (stamp, 1234, shard.life)
    assert (read.stored_at, read.fresh_until, read.grace_until) == (now, now + 10 * SECOND, now + 15 * SECOND)
    assert 14_000 < shard.redis.pttl(shard.key(f"e:{UA.member}")) <= 15_000


@pytest.mark.parametrize("cost_us", [0, 1, 700, 123_456, 30_000_000, 2**32 - 1])
@pytest.mark.parametrize("ttl_us", [1, 40 * SECOND + 7, 7 * 86_400 * SECOND + 1])
def test_the_script_writes_a_header_as_the_core_does(shard: Shard, cost_us: int, ttl_us: int) -> None:
    """To the last bit: which way a bound is cut, and how a cost is written."""
    token, stamp = shard.lease()

    _, now, header, _ = shard.commit(UA, token, stamp, cost_us=cost_us, ttl_us=ttl_us, grace_us=ttl_us)

    due_at = now + max(ttl_us - cost_us, ttl_us // 2)
    packed = Header(0, shard.life, stamp, now, now + ttl_us, now + 2 * ttl_us, due_at, cost_us).pack()
    assert header == packed


def test_a_commit_says_whether_it_replaced_a_value(shard: Shard) -> None:
    """What was the first has changed nothing that anybody could have shown."""
    replies = []
    for payload in (b"one", b"two", b"two"):
        token, stamp = shard.lease(newer_than="inf")
        replies.append(shard.commit(UA, token, stamp, payload=payload)[3])

    assert replies == ["first", "replaced", "replaced"]


def test_a_repeated_commit_says_again_that_it_stored(shard: Shard) -> None:
    """A commit whose reply was lost is repeated: it stored, and stores nothing twice."""
    token, stamp = shard.lease()
    first = shard.commit(UA, token, stamp)

    again = shard.commit(UA, token, stamp, payload=b"other")

    assert again[0] == "stored"
    assert again[2] == first[2]
    assert shard.blob() == first[2] + b"value"


def test_a_commit_without_a_lease_stores_nothing(shard: Shard) -> None:
    """A token that was never granted a lease is lost."""
    assert shard.commit(UA, "nobody", 5)[0] == "lost"
    assert shard.blob() is None


def test_a_commit_after_the_lease_ran_out_stores_nothing(shard: Shard) -> None:
    """A holder that was paused for longer than its lease is too late, even if nobody has taken over."""
    token, stamp = shard.lease(lease_us=SECOND)
    shard.advance(SECOND)

    assert shard.commit(UA, token, stamp)[0] == "lost"
    assert shard.blob() is None


def test_a_commit_after_a_take_over_changes_nothing(shard: Shard) -> None:
    """The woken holder of an old lease can't overwrite, nor end, what the next holder does."""
    old, old_stamp = shard.lease(lease_us=SECOND)
    shard.advance(SECOND)
    new, new_stamp = shard.lease()

    assert shard.commit(UA, old, old_stamp, payload=b"old")[0] == "lost"
    assert shard.commit(UA, new, new_stamp, payload=b"new")[0] == "stored"
    assert shard.commit(UA, old, old_stamp, payload=b"old")[0] == "lost"
    blob = shard.blob()
    assert blob is not None
    assert blob.endswith(b"new")


@pytest.mark.parametrize("name", [*UA.names, "g:found-during-the-load"])
def test_a_stamp_on_any_name_refuses_what_was_loaded_before(shard: Shard, name: str) -> None:
    """An invalidation between lease and commit refuses the value, names found during the load included."""
    token, stamp = shard.lease()
    shard.stamp(name)

    reply = shard.commit(UA, token, stamp, names=(*UA.names, "g:found-during-the-load"))

    assert reply[0] == "refused"
    assert shard.blob() is None
    assert shard.hash("leases") is None, "its lease has ended: the next load begins at once"


def test_a_stamp_on_another_name_refuses_nothing(shard: Shard) -> None:
    """Only the entry's own names count."""
    token, stamp = shard.lease()
    shard.stamp("e:q:AA", "q:other", "g:year")

    assert shard.commit(UA, token, stamp)[0] == "stored"


def test_a_stamp_before_the_lease_refuses_nothing(shard: Shard) -> None:
    """What began after an invalidation is newer than it."""
    shard.stamp(*UA.names)
    token, stamp = shard.lease()

    assert shard.commit(UA, token, stamp)[0] == "stored"


def test_a_doomed_load_is_refused_and_wakes_who_waits(shard: Shard) -> None:
    """The load that an invalidation moved aside stores nothing, gives up its place and wakes the waiting."""
    token, stamp = shard.lease()
    shard.invalidate()
    shard.lease()
    shard.invalidate()
    assert shard.acquire()[0] == "busy"
    heard = shard.redis.pubsub()
    heard.subscribe(shard.key("wake"))
    assert heard.get_message(timeout=5)

    assert shard.commit(UA, token, stamp)[0] == "refused"

    message = heard.get_message(timeout=5)
    assert message is not None
    assert message["data"] == UA.member.encode()
    assert shard.blob() is None
    assert shard.hash("doomed") is None
    assert shard.acquire()[0] == "granted"
    heard.close()


def test_a_doomed_load_does_not_end_the_lease_of_the_next(shard: Shard) -> None:
    """The load that began after the invalidation stores its value whatever the doomed one does."""
    doomed, doomed_stamp = shard.lease()
    shard.invalidate()
    token, stamp = shard.lease()

    assert shard.commit(UA, doomed, doomed_stamp, payload=b"old")[0] == "refused"
    assert shard.commit(UA, token, stamp, payload=b"new")[0] == "stored"


def test_a_stored_value_wakes_who_waits(shard: Shard) -> None:
    """Readers of other processes are told when the load that they wait for is stored."""
    token, stamp = shard.lease()
    assert shard.acquire()[0] == "busy"
    heard = shard.redis.pubsub()
    heard.subscribe(shard.key("wake"))
    assert heard.get_message(timeout=5)

    shard.commit(UA, token, stamp)

    assert heard.get_message(timeout=5) is not None
    heard.close()


def test_a_refused_commit_makes_a_kept_entry_due_at_once(shard: Shard) -> None:
    """An entry that is kept warm is due at once after a refusal, and its claim is over."""
    shard.store(keep="always")
    shard.advance(300 * SECOND)
    assert shard.claimed() == [UA.member]
    token, stamp = shard.lease(newer_than="inf")
    shard.stamp(UA.name)

    shard.commit(UA, token, stamp, keep="always")

    due = shard.due()
    assert due is not None
    assert due <= shard.now()
    assert shard.claimed() == [UA.member]


def test_the_value_kept_for_others_has_no_life_as_an_entry(shard: Shard) -> None:
    """What is handed on after a refusal carries its lease's stamp, is not fresh, and goes within seconds."""
    token, stamp = shard.lease()
    shard.acquire()
    shard.stamp(UA.name)

    shard.commit(UA, token, stamp, payload=b"refused")

    key = shard.key(f"handoff:{UA.member}")
    blob = shard.redis.get(key)
    assert isinstance(blob, bytes)
    header = Header.read(blob)
    assert header is not None
    assert (header.stamp, header.fresh_until, header.grace_until) == (stamp, 0, 0)
    assert header.life != NO_LIFE
    assert 0 < shard.redis.pttl(key) <= 2000


def test_a_commit_clears_the_failure_before_it(shard: Shard) -> None:
    """After a load that went well, the next failure is a first one again."""
    token, _ = shard.lease()
    shard.fail(UA, token)
    shard.advance(2 * SECOND)

    shard.store()

    assert shard.hash("failures") is None


def test_the_entry_stands_under_its_listed_names_only(shard: Shard) -> None:
    """A listed name finds the entry; names that only the fence needs keep no list."""
    shard.store()

    assert shard.redis.smembers(shard.key("members:g:month")) == {UA.member.encode()}
    assert not shard.redis.exists(*(shard.key(f"members:{name}") for name in UA.fence_only))


def test_members_whose_value_has_gone_leave_a_name_by_and_by(shard: Shard) -> None:
    """A tag under which entries come and go doesn't grow for ever."""
    for number in range(300):
        shard.store(Subject(f"X{number}"), ttl_us=1000, grace_us=0)

    listed = shard.redis.scard(shard.key("members:g:month"))
    indexed = shard.redis.zcard(shard.key("index:q"))

    assert listed < 200
    assert indexed < 200


@pytest.mark.parametrize(("keep", "kept"), [("never", False), ("always", True), ("while_read", False)])
def test_only_what_is_kept_warm_gets_a_due_time(shard: Shard, keep: str, kept: bool) -> None:
    """Every entry is in the index; what nothing refreshes by itself stands at the end of time."""
    shard.store(keep=keep)

    header, due = shard.header(), shard.due()
    assert header is not None
    assert due == pytest.approx(header.due_at, rel=0, abs=32) if kept else due == float("inf")


def test_an_admitted_entry_is_kept_while_it_is_read(shard: Shard) -> None:
    """With "while_read", what was read in a later ttl stays due until it is unread for idle_after."""
    shard.store(keep="while_read", ttl_us=10 * SECOND)
    shard.tally((UA, 1))
    shard.advance(11 * SECOND)
    shard.tally((UA, 1))
    shard.store(keep="while_read", ttl_us=10 * SECOND, idle_us=20 * SECOND)
    assert shard.due() != float("inf")

    shard.advance(21 * SECOND)
    shard.store(keep="while_read", ttl_us=10 * SECOND, idle_us=20 * SECOND)

    assert shard.due() == float("inf")


def test_no_more_than_max_kept_are_kept_warm(shard: Shard) -> None:
    """What is over max_kept is stored, not kept, and counted; what is kept already stays so."""
    subjects = [Subject(name) for name in ("A", "B", "C")]
    for subject in subjects:
        shard.store(subject, keep="always", max_kept=2)
    shard.store(subjects[0], keep="always", max_kept=2)

    assert [shard.due(subject) != float("inf") for subject in subjects] == [True, True, False]
    assert shard.redis.hget(shard.key("over"), "q") == b"1"


def test_the_due_time_leaves_room_for_the_wait_and_the_load(shard: Shard) -> None:
    """due = fresh_until - (measured wait + cost) - early * cost * draw."""
    token, stamp = shard.lease()
    shard.commit(UA, token, stamp, wait_us=3 * SECOND, cost_us=2 * SECOND, early=2.0, draw=1.5)

    header = shard.header()
    assert header is not None
    assert header.due_at == header.fresh_until - (3 + 2) * SECOND - 2 * 1.5 * 2 * SECOND


def test_the_lead_is_a_high_quantile_of_recent_loads(shard: Shard) -> None:
    """One slow load in eleven does not count, two do; unknown waits count for nothing."""
    for number in range(9):
        shard.store(Subject(str(number)), cost_us=1 * SECOND)
    shard.store(Subject("slow"), cost_us=60 * SECOND)
    shard.store(cost_us=1 * SECOND)
    header = shard.header()
    assert header is not None
    assert header.fresh_until - header.due_at == 1 * SECOND

    shard.store(Subject("slow"), cost_us=60 * SECOND)
    shard.store(cost_us=1 * SECOND)

    header = shard.header()
    assert header is not None
    assert header.fresh_until - header.due_at == 60 * SECOND


def test_an_entry_is_never_due_before_half_its_ttl(shard: Shard) -> None:
    """Where wait and load take more than half the ttl, it is due at half, and the query is told
    overloaded.
    """
    shard.store(ttl_us=10 * SECOND, cost_us=8 * SECOND)

    header = shard.header()
    assert header is not None
    assert header.due_at == header.stored_at + 5 * SECOND
    assert shard.redis.hexists(shard.key("overloaded"), "q")


def test_a_rare_high_draw_does_not_call_a_query_overloaded(shard: Shard) -> None:
    """The draw moves the due time, and says nothing about the query."""
    shard.store(ttl_us=10 * SECOND, cost_us=SECOND, early=1.0, draw=50.0)

    assert not shard.redis.exists(shard.key("overloaded"))


def test_a_commit_ends_the_claim_on_the_entry(shard: Shard) -> None:
    """What a message was on its way for is done."""
    shard.store(keep="always")
    shard.advance(300 * SECOND)
    assert shard.claimed() == [UA.member]

    shard.store(keep="always")

    assert shard.redis.zcard(shard.key("claims")) == 0


def test_tokens_of_a_digested_key_are_kept_beside_it(shard: Shard) -> None:
    """A member that holds a digest can be turned back into its params."""
    subject = Subject("#0123")

    shard.store(subject, tokens="a-very-long-text")

    assert shard.hash("params", subject) == "a-very-long-text"


def test_a_blob_that_is_no_entry_is_replaced(shard: Shard) -> None:
    """Foreign bytes under an entry's key are no value, and no obstacle."""
    shard.redis.set(shard.key(f"e:{UA.member}"), b"\xc1short")

    assert shard.acquire()[0] == "granted"
    shard.redis.set(shard.key(f"e:{UA.member}"), b"x" * 100)
    shard.redis.delete(shard.key("leases"))
    shard.store()

    assert shard.header() is not None


def test_what_was_learned_is_stored_with_the_value(shard: Shard) -> None:
    """Only of a query that learns, and only when the value is stored."""
    token, stamp = shard.lease()
    shard.commit(UA, token, stamp, learned="")
    assert shard.hash("learned") is None
    token, stamp = shard.lease(newer_than="inf")
    shard.stamp(UA.name)
    assert shard.commit(UA, token, stamp, learned="1.0000 2 3")[0] == "refused"
    assert shard.hash("learned") is None

    shard.store(learned="1.0000 2 3", payload=b"crc.digest-1value", flags=DIGESTED)

    assert (shard.hash("learned") or "").split(" ", 1)[1] == "1.0000 2 3"
    blob = shard.blob()
    assert blob is not None
    assert shard.run("recall", UA.member) == [blob[: HEADER_SIZE + 12], "1.0000 2 3"]


def test_a_value_that_was_removed_or_marked_is_not_recalled(shard: Shard) -> None:
    """Nor one of an earlier life; what was learned stays."""
    assert shard.run("recall", UA.member) == ["", ""]
    shard.store(learned="1.0000 2 3")
    shard.invalidate(stale_us=SECOND)
    assert shard.run("recall", UA.member) == ["", "1.0000 2 3"]
    shard.invalidate()
    assert shard.run("recall", UA.member) == ["", "1.0000 2 3"]
    shard.store(learned="1.0000 2 3")
    shard.life = new_life()
    assert shard.run("recall", UA.member) == ["", "1.0000 2 3"]
