"""Readers that must not notice what happens to the server."""

from __future__ import annotations

import asyncio
import threading
from typing import Self

from tests.board import Board


class Readers:
    """Reads one entry again and again, from a thread and from an event loop, while it is entered."""

    def __init__(self, board: Board) -> None:
        self._board, self._stopping = board, threading.Event()
        self.seen: list[int] = []
        self.failed: list[Exception] = []
        self._threads = [threading.Thread(target=read) for read in (self._read, self._aread)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Stop, also when the test has failed; if it has not, no read may have."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)
        if kind is None:
            assert not self.failed, self.failed
            assert self.seen

    def _read(self) -> None:
        while not self._stopping.wait(0.02):
            try:
                self.seen.append(self._board.departures("JFK"))
            except Exception as exc:  # noqa: BLE001 - told at the end
                self.failed.append(exc)
                return

    def _aread(self) -> None:
        async def read() -> None:
            while not self._stopping.is_set():
                self.seen.append(await self._board.departures.aget("JFK"))
                await asyncio.sleep(0.02)

        try:
            asyncio.run(read())
        except Exception as exc:  # noqa: BLE001 - told at the end
            self.failed.append(exc)
