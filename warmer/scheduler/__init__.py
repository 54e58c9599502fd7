"""The scheduler: a process that sweeps the due index, fires plans, and clears away what is over.

Any number of them run beside each other, without a leader: what must happen once is decided in Redis.
"""

from __future__ import annotations

from warmer.scheduler.jobs import JobInfo, jobs
from warmer.scheduler.process import run

__all__ = ["JobInfo", "jobs", "run"]
