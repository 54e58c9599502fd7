"""What a shard remembers of the lives of its server that are over."""

from __future__ import annotations

import pytest
import redis

from tests.lua.shard import SECOND, Shard, new_life

KEPT = 64


def _live(shard: Shard, lives: int) -> list[bytes]:
    """So many lives, in each of which something was settled."""
    info = shard.redis.info()
    server, lived = f"{info['run_id']} {info['master_replid']}", []
    for _ in range(lives):
        shard.life = new_life()
        shard.run("settle", server)
        lived.append(shard.life)
        shard.advance(SECOND)
    return lived


def _told(shard: Shard, field: str) -> set[bytes]:
    names = [bytes(name).partition(b":") for name in shard.redis.hkeys(shard.key("life"))]  # type: ignore[arg-type]
    return {life for what, _, life in names if what == field.encode()}


def test_lives_are_forgotten_but_the_latest(shard: Shard) -> None:
    """However often the server is restarted: the record stays as long as it is, and says what counts."""
    lived = _live(shard, 3 * KEPT)

    latest = set(lived[-KEPT - 1 :])
    assert _told(shard, "was") == _told(shard, "settled") == latest
    assert _told(shard, "from") == {lived[-1]}
    began = shard.redis.hget(shard.key("life"), f"from:{lived[-1].decode()}")
    assert began is not None
    assert bytes(began).startswith(lived[-2] + b" ")  # type: ignore[arg-type]
    for life in lived[-KEPT - 1 : -1]:
        with pytest.raises(redis.ResponseError, match="WARMERLIFE"):
            shard.run("stamp", 10, 10, "g:a", life=life)
    assert shard.stamp("g:a") > 0


def test_a_clock_that_is_set_back_takes_no_present_life(shard: Shard) -> None:
    """By such a clock the present life and the one before it are the oldest: they stay all the same."""
    lived = _live(shard, KEPT + 10)
    shard.advance(-7200 * SECOND)
    last = _live(shard, 2)

    assert set(last) <= _told(shard, "was")
    assert len(_told(shard, "was")) == KEPT + 1
    assert set(lived[:9]).isdisjoint(_told(shard, "was"))
