"""Records of invalidations that are not finished: taken over by one, left to whoever is at it."""

from __future__ import annotations

from tests.lua.shard import SECOND, Shard

PATIENCE_US = 5 * SECOND


def _write(shard: Shard, *ids: str, silent_us: int) -> None:
    at = shard.now() - silent_us
    shard.redis.hset(
        f"{shard.root}unfinished", mapping={id_: f"{at} {PATIENCE_US} about {id_}" for id_ in ids}
    )


def _take(shard: Shard, cursor: int = 0) -> list[str]:
    """The next that is to be taken over: its id and what it is about."""
    return [str(part) for part in shard.run("take_over", cursor)[2:]]


def test_one_that_is_left_is_taken_over_once(shard: Shard) -> None:
    """Of two who look, one gets it; if that one falls silent, too, the next gets it."""
    _write(shard, "a", silent_us=PATIENCE_US + SECOND)

    assert _take(shard) == ["a", "about a"]
    assert _take(shard) == []
    shard.advance(PATIENCE_US + SECOND)
    assert _take(shard) == ["a", "about a"]


def test_one_whose_invoker_is_at_it_is_left_to_it(shard: Shard) -> None:
    """Silent for less than its patience, or having said just now that it is at it."""
    _write(shard, "young", silent_us=PATIENCE_US - SECOND)
    _write(shard, "carried", silent_us=PATIENCE_US + SECOND)
    shard.run("carry_on", "carried", "finished")

    assert _take(shard) == []
    assert shard.redis.hkeys(f"{shard.root}unfinished") == [b"young", b"carried"]


def test_every_one_that_is_left_is_found(shard: Shard) -> None:
    """However many pages they fill."""
    ids = {f"{number}" for number in range(700)}
    _write(shard, *ids, silent_us=PATIENCE_US + SECOND)

    found, cursor = set[str](), 0
    while True:
        _, cursor, *one = shard.run("take_over", cursor)
        if one:
            found.add(str(one[0]))
        elif cursor == 0:
            break

    assert found == ids
