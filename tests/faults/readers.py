"""Readers that must not notice what happens to the server."""

from __future__ import annotations

import asyncio
import threading

from tests.board import Board


class Readers:
    """Reads one entry again and again, from a thread and from an event loop, until it is stopped."""

    def __init__(self, board: Board) -> None:
        self._board, self._stopping = board, threading.Event()
        self.seen: list[int] = []
        self.failed: list[Exception] = []
        self._threads = [threading.Thread(target=read) for read in (self._read, self._aread)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)
        assert not self.failed, self.failed
        assert self.seen

    def _read(self) -> None:
        while not self._stopping.wait(0.02):
            try:
                self.seen.append(self._board.departures("JFK"))
            except Exception as exc:  # noqa: BLE001 - told by `stop`
                self.failed.append(exc)
                return

    def _aread(self) -> None:
        async def read() -> None:
            while not self._stopping.is_set():
                self.seen.append(await self._board.departures.aget("JFK"))
                await asyncio.sleep(0.02)

        try:
            asyncio.run(read())
        except Exception as exc:  # noqa: BLE001 - told by `stop`
            self.failed.append(exc)
