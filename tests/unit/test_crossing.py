"""From threads into an event loop: who calls it, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from warmer.runtime.crossing import Crossing


class _Loop(asyncio.SelectorEventLoop):
    """Counts the calls into it from elsewhere, and keeps what it is to do later."""

    calls = 0
    later: Callable[[], object] = staticmethod(lambda: None)

    def call_soon_threadsafe(self, *args: Any, **options: Any) -> asyncio.Handle:  # type: ignore[override]
        self.calls += 1
        return super().call_soon_threadsafe(*args, **options)

    def call_later(self, _delay: float, callback: Callable[..., object], *_: object) -> asyncio.TimerHandle:  # type: ignore[override]
        self.later = callback
        return super().call_later(3600, lambda: None)


def test_a_loop_that_looks_by_itself_is_not_called() -> None:
    """What comes within the pause is found without a call; after a look that found nothing it is called."""
    taken: list[int] = []

    async def main() -> None:
        crossing = Crossing(taken.append, pause_s=0.05)
        crossing.hand(loop, 1)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert taken == [1]

        for number in (2, 3):
            crossing.hand(loop, number)
            loop.later()
            assert taken[-1] == number
        assert loop.calls == 1

        loop.later()
        crossing.hand(loop, 4)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert taken == [1, 2, 3, 4]
        assert loop.calls == 2

    loop = _Loop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
