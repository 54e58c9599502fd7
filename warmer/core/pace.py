"""How much to hand out: what the workers will do soon, and no more.

What is queued early is queued in the wrong order: the queue is first in, first out, while the due index
always knows what saves its readers most. So only a short horizon's worth of work is ever handed out.

Nothing here knows a clock: `now_s` is an argument, any clock that only goes forward.
"""

from __future__ import annotations

from collections import deque
from math import ceil


class Soon:
    """How much work may be handed out and unfinished at once, from how much was finished lately.

    horizon_s of work at the measured throughput, and never less than `least`: at the start, and when the
    workers have been idle, nothing has been measured. It doubles at most about once in half a horizon, as
    more gets done.
    """

    def __init__(self, least: int, horizon_s: float, window_s: float) -> None:
        self._least, self._horizon_s, self._window_s = least, horizon_s, window_s
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, now_s: float, finished: int) -> None:
        """What has been finished by `now_s`, ever: a count that grows. One that shrinks begins anew."""
        if self._seen and finished < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((now_s, finished))
        while len(self._seen) > 2 and self._seen[1][0] <= now_s - self._window_s:
            self._seen.popleft()

    @property
    def finished(self) -> int | None:
        """What had been finished at the last look; None before the first."""
        return self._seen[-1][1] if self._seen else None

    @property
    def per_s(self) -> float:
        """Finished a second, over the window; 0.0 until two looks."""
        if len(self._seen) < 2:
            return 0.0
        (since_s, before), (until_s, after) = self._seen[0], self._seen[-1]
        # Two looks within a millisecond measure nothing but the clock.
        return (after - before) / (until_s - since_s) if until_s - since_s >= 0.001 else 0.0

    @property
    def most(self) -> int:
        """How much may be unfinished at once."""
        return max(self._least, ceil(self.per_s * self._horizon_s))


class Rate:
    """A steady pace: at most `per_s` a second, without catching up on what was missed. None: no bound."""

    def __init__(self, per_s: float | None) -> None:
        self._gap_s = 0.0 if per_s is None else 1.0 / per_s
        self._next_s = float("-inf")

    def wait_s(self, now_s: float) -> float:
        """How long the next one must wait."""
        return max(0.0, self._next_s - now_s)

    def took(self, now_s: float) -> None:
        """One was done now."""
        self._next_s = max(now_s, self._next_s) + self._gap_s
