"""Tasks who join a flight in one turn of their event loop: one reader for all of them.

It joins when the turn has ended. So all of them have begun before the lease is asked for whose value it may
be given by hand, as if each had joined for itself.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING

from warmer.runtime.awaiting import awaited, tell
from warmer.runtime.contract import Joint, Outcome

if TYPE_CHECKING:
    from warmer.runtime.handover import Handover
    from warmer.runtime.process import Runtime


class Company:
    """Those who share a reader."""

    __slots__ = ("joint", "left", "load", "waiting")

    def __init__(self, joint: Joint) -> None:
        self.joint = joint
        self.waiting: list[asyncio.Future[Outcome]] = []
        self.left = 0  # so many have gone away
        self.load: Handover[Outcome] | None = None  # once they have joined

    def leave(self) -> None:
        """One is gone; the last of them takes the reader along."""
        self.left += 1
        if self.load is not None and self.left == len(self.waiting):
            self.load.cancel()


class Turns:
    """By loop, those who come in its present turn."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._coming: weakref.WeakKeyDictionary[
            asyncio.AbstractEventLoop, dict[tuple[bytes, bool], Company]
        ] = weakref.WeakKeyDictionary()

    async def join(self, joint: Joint) -> Outcome:
        """What becomes of it. Cancelling it stops the wait, not a load that others wait for."""
        key = joint.key
        loop = asyncio.get_running_loop()
        coming = self._coming.get(loop)
        if coming is None:
            coming = self._coming[loop] = {}
            loop.call_soon(self._end_turn, loop)
        company = coming.get((key, joint.loads))
        if company is None:
            company = coming[key, joint.loads] = Company(joint)
            if not self._runtime.flies(key):
                return await awaited(self._runtime.meet(joint))  # at once: nobody is there yet to come to
        waiting: asyncio.Future[Outcome] = loop.create_future()
        company.waiting.append(waiting)
        try:
            return await waiting
        except BaseException:
            company.leave()
            raise

    def _end_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        for company in self._coming.pop(loop).values():
            if company.left == len(company.waiting):
                continue
            try:
                company.load = self._runtime.join_alone(company.joint)
            except Exception as exc:  # noqa: BLE001 - they would wait for ever
                for waiting in company.waiting:
                    if not waiting.done():
                        waiting.set_exception(exc)
                continue
            tell(loop, company.waiting, company.load)
