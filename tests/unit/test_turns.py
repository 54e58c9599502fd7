"""Tasks of one turn of an event loop share one reader."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from warmer.runtime.contract import Joint, Loadable, Outcome, Reader
from warmer.runtime.handover import Handover
from warmer.runtime.process import Runtime
from warmer.runtime.turns import Turns

JFK, LAX = b"w:{n:0}:e:q@v:JFK", b"w:{n:0}:e:q@v:LAX"
LOADED = Outcome("loaded", blob=b"x")


class _Flights:
    """The flights as far as who joins them goes. here: the keys that others wait for."""

    def __init__(self, *here: bytes) -> None:
        self.here = set(here)
        self.joined: list[tuple[bytes, Reader]] = []

    def flies(self, key: bytes) -> bool:
        return key in self.here

    def join_alone(self, joint: Joint) -> Handover[Outcome]:
        reader = Reader(loads=joint.loads)
        self.joined.append((joint.key, reader))
        return reader.future

    meet = join_alone


@pytest.fixture
def flights() -> _Flights:
    """Others wait for both entries."""
    return _Flights(JFK, LAX)


@pytest.fixture
def turns(flights: _Flights) -> Turns:
    """Those who come to these flights."""
    return Turns(cast("Runtime", flights))


def _joint(key: bytes = JFK, *, loads: bool = True) -> Joint:
    return Joint(cast("Loadable", None), key, (), loads)


async def _turn() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def test_those_of_one_turn_share_a_reader(flights: _Flights, turns: Turns) -> None:
    """One for each entry, and for those who would not load; who comes in a later turn has another."""

    async def main() -> None:
        joints = [_joint(), _joint(), _joint(LAX), _joint(loads=False), _joint()]
        tasks = [asyncio.create_task(turns.join(joint)) for joint in joints]
        await _turn()
        assert [(key, reader.loads) for key, reader in flights.joined] == [
            (JFK, True), (LAX, True), (JFK, False),
        ]  # fmt: skip
        late = asyncio.create_task(turns.join(_joint()))
        await _turn()
        assert len(flights.joined) == 4
        for _, reader in flights.joined:
            reader.finish(LOADED)
        assert await asyncio.gather(*tasks, late) == [LOADED] * 6

    asyncio.run(main())


def test_nobody_joins_before_the_turn_has_ended(flights: _Flights, turns: Turns) -> None:
    """Who comes later in it might get a value whose lease was asked for before it began."""

    async def main() -> None:
        first, second = turns.join(_joint()), turns.join(_joint())
        first.send(None)
        assert flights.joined == []
        second.send(None)
        assert flights.joined == []
        await _turn()
        assert len(flights.joined) == 1
        first.close()
        second.close()

    asyncio.run(main())


def test_those_who_come_with_the_first_share_a_reader(flights: _Flights, turns: Turns) -> None:
    """Also before the first one's flight is known."""
    flights.here.clear()

    async def main() -> None:
        tasks = [asyncio.create_task(turns.join(_joint())) for _ in range(4)]
        await _turn()
        assert len(flights.joined) == 2
        for _, reader in flights.joined:
            reader.finish(LOADED)
        assert await asyncio.gather(*tasks) == [LOADED] * 4

    asyncio.run(main())


def test_who_can_not_join_is_told(flights: _Flights, turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    """And so are all who share its place: nobody waits for ever."""

    def broken(*_: Any) -> Any:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(flights, "join_alone", broken)
    monkeypatch.setattr(flights, "meet", broken)

    async def main() -> None:
        told = await asyncio.gather(turns.join(_joint()), turns.join(_joint(LAX)), return_exceptions=True)
        assert [str(one) for one in told] == ["can't start new thread"] * 2

    asyncio.run(main())


def test_the_first_joins_at_once(flights: _Flights, turns: Turns) -> None:
    """Where nobody waits yet there is nobody to share with, and a load to begin."""
    flights.here.clear()

    async def main() -> None:
        first = asyncio.create_task(turns.join(_joint()))
        first.add_done_callback(lambda _: None)
        await asyncio.sleep(0)
        assert len(flights.joined) == 1
        flights.joined[0][1].finish(LOADED)
        assert await first == LOADED

    asyncio.run(main())


def test_the_last_who_goes_takes_the_reader_along(flights: _Flights, turns: Turns) -> None:
    """One that is cancelled leaves the others theirs; when all have gone, nobody waits any more."""

    async def main() -> None:
        tasks = [asyncio.create_task(turns.join(_joint())) for _ in range(2)]
        await _turn()
        ((_, reader),) = flights.joined
        tasks[0].cancel()
        await asyncio.wait([tasks[0]])
        assert not reader.future.cancelled()
        tasks[1].cancel()
        await asyncio.wait([tasks[1]])
        assert reader.future.cancelled()

    asyncio.run(main())


def test_who_goes_within_the_turn_never_joins(flights: _Flights, turns: Turns) -> None:
    """There is nobody left to join for."""

    async def main() -> None:
        waiting = turns.join(_joint())
        waiting.send(None)
        waiting.close()
        await _turn()
        assert flights.joined == []

    asyncio.run(main())
