"""Redis goes under load and comes back: what readers got meanwhile, and what metrics and logs said.

    python -m tests.faults.outage                     one kill, 5 s away, 200 reads a second
    python -m tests.faults.outage --how hang          the server stops answering, connections stay open
    python -m tests.faults.outage --away 30 --rounds 3

Reads come at a steady rate, whatever the earlier ones do, of 20 entries whose loads take 100 ms each. The
load's own count says how many ran at once; a read counts as served by Redis when its entry has a stamp.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from tests.patience import PATIENCE_S
from warmer import Warmer
from warmer.testing import ValkeyServer

ENTRIES = 20
WARM_S = 1.0


@dataclass
class Read:
    """One read: when it began, how long it took, whether Redis had a part in it, and what it raised."""

    began: float
    took_s: float
    stored: bool
    error: str = ""


@dataclass
class Outage:
    """What happened in one outage. Times of the process's monotonic clock."""

    reads: list[Read] = field(default_factory=list)
    killed: float = 0.0
    returned: float = 0.0
    most_loads: int = 0
    loads_while_away: int = 0

    @property
    def failed(self) -> list[str]:
        """What reads raised."""
        return [read.error for read in self.reads if read.error]

    @property
    def back_s(self) -> float:
        """From the server's return to the beginning of the first read that it served."""
        return (
            min((r.began for r in self.reads if r.stored and r.began > self.returned), default=1e9)
            - self.returned
        )

    def report(self) -> dict[str, Any]:
        """Figures by phase, in milliseconds."""
        phases = {
            "warm": [r for r in self.reads if r.began < self.killed],
            "away": [r for r in self.reads if self.killed <= r.began < self.returned],
            "back": [r for r in self.reads if r.began >= self.returned + self.back_s],
        }
        return {
            "reads": len(self.reads),
            "failed": len(self.failed),
            "most loads at once while away": self.most_loads,
            "loads while away": self.loads_while_away,
            "back after s": round(self.back_s, 3),
            **{f"{name} ms (median, p99, max)": _spread(reads) for name, reads in phases.items()},
        }


def _spread(reads: list[Read]) -> list[float]:
    took = sorted(read.took_s * 1e3 for read in reads) or [0.0]
    return [round(x, 1) for x in (statistics.median(took), took[int(0.99 * (len(took) - 1))], took[-1])]


class Board:
    """Twenty boards whose loads take a while and know how many of them run at once."""

    def __init__(self, name: str, url: str, bound: int, load_s: float) -> None:
        self.flights = Warmer(name, redis_url=url, redis_away_loads=bound)
        self.away = threading.Event()
        self.loads = self._running = self.most_running = 0
        self.served_at = 0.0  # when the last read began that Redis had a part in
        self._lock, self._load_s = threading.Lock(), load_s
        self.board = self.flights.cached(ttl=300, name="board", version="1")(self._load)

    def _load(self, airport: int) -> str:
        away = self.away.is_set()
        with self._lock:
            self._running += away
            self.loads += away
            self.most_running = max(self.most_running, self._running)
        time.sleep(self._load_s)
        with self._lock:
            self._running -= away
        return f"departures of {airport}"

    def read(self, number: int) -> Read:
        began = time.monotonic()
        try:
            entry = self.board.read(number % ENTRIES)
        except Exception as exc:  # noqa: BLE001 - whatever a reader would see
            return Read(began, time.monotonic() - began, False, f"{type(exc).__name__}: {exc}")
        if entry.stamp > 0:
            self.served_at = max(self.served_at, began)
        return Read(began, time.monotonic() - began, entry.stamp > 0)


def run(
    *, how: str = "kill", away_s: float = 5.0, rate: float = 200.0, bound: int = 4, load_s: float = 0.1,
    after_s: float = 3.0, name: str = "outage",
) -> tuple[Outage, Warmer]:  # fmt: skip
    """One outage; the namespace is the caller's to close, its counts still there."""
    outage = Outage()
    with ValkeyServer() as server:
        board = Board(name, server.url, bound, load_s)
        for number in range(ENTRIES):
            board.read(number)
        ends = threading.Timer(WARM_S + away_s, lambda: _return(server, how, board, outage))
        begins = threading.Timer(WARM_S, lambda: _go(server, how, board, outage))
        begins.start()
        ends.start()
        with ThreadPoolExecutor(256) as readers:
            pending: list[Future[Read]] = []
            began = time.monotonic()
            while not _is_over(board, outage, after_s):
                due = began + len(pending) / rate
                time.sleep(max(0.0, due - time.monotonic()))
                pending.append(readers.submit(board.read, len(pending)))
            wait(pending)
        outage.reads = [future.result() for future in pending]
        outage.most_loads, outage.loads_while_away = board.most_running, board.loads
    return outage, board.flights


def _go(server: ValkeyServer, how: str, board: Board, outage: Outage) -> None:
    board.away.set()
    outage.killed = time.monotonic()
    server.kill() if how == "kill" else server.pause()


def _return(server: ValkeyServer, how: str, board: Board, outage: Outage) -> None:
    """Not before reads have noticed that it was away."""
    latest = time.monotonic() + PATIENCE_S
    while not board.loads and time.monotonic() < latest:
        time.sleep(0.01)
    server.start() if how == "kill" else server.resume()
    outage.returned = time.monotonic()
    board.away.clear()


def _is_over(board: Board, outage: Outage, after_s: float) -> bool:
    """Whether the server has been back for so long, and has been noticed to be."""
    back_s = time.monotonic() - outage.returned if outage.returned else -1.0
    return back_s > (after_s if board.served_at > outage.returned else max(after_s, PATIENCE_S))


def main() -> None:
    """Run it as the command line says, and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--how", choices=("kill", "hang"), default="kill")
    parser.add_argument("--away", type=float, default=5.0, help="seconds")
    parser.add_argument("--rate", type=float, default=200.0, help="reads a second")
    parser.add_argument("--bound", type=int, default=4, help="redis_away_loads")
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    logging.basicConfig(format="%(relativeCreated)6d ms  %(levelname)s  %(message)s", level=logging.INFO)
    for _ in range(given.rounds):
        outage, flights = run(how=given.how, away_s=given.away, rate=given.rate, bound=given.bound)
        sys.stdout.write(json.dumps(outage.report(), indent=2) + "\n")
        sys.stdout.write(json.dumps({"metrics": flights.runtime().counts.snapshot()}, indent=2) + "\n")
        sys.stdout.write("\n".join(sorted(set(outage.failed))) + "\n")
        flights.close()


if __name__ == "__main__":
    main()
