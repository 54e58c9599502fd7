"""What the server's clock is known to have passed by, from when it was last heard.

Not an estimate: a bound. Clocks of two machines differ in speed, and either may be set while nobody looks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: No two clocks drift apart faster: each is slewed by at most 500 parts in a million.
DRIFT: Final = 0.001


@dataclass(frozen=True, slots=True)
class Heard:
    """The server's clock said `server_us` before `at` (by this process's `time.monotonic`)."""

    server_us: float
    at: float

    def least_us(self, at: float) -> float:
        """What the server's clock is not below at a later time."""
        return self.server_us + (at - self.at) * 1e6 * (1 - DRIFT)


@dataclass(frozen=True, slots=True)
class Began:
    """When a transaction began: by both clocks of this process, one of which counts a machine's sleep.

    heard: what was known of the server's clock then.
    """

    at: float
    wall: float
    heard: Heard

    def least_us(self, at: float, wall: float, heard: Heard) -> tuple[int, int]:
        """A time by its clock that is not after the beginning, and what that clock has passed by now.

        heard: what is known of it now. By what was known at the beginning, too, lest the server's clock has
        been set forward since.
        """
        now_us = heard.least_us(at)
        passed_s = max(at - self.at, wall - self.wall)
        began_us = min(now_us - passed_s * 1e6 * (1 + DRIFT), self.heard.least_us(self.at))
        return int(began_us) - 1, int(now_us)
