"""How long a task may take: a little longer than the load in it, so that Warmer's own timeout comes first.

load        timeout            the lease ends, the failure is recorded, the next holder may begin
outcome     + answers          the task waits no longer than this for what its process's runtime says
soft limit  + a moment         never reached; set because an application's own must not apply to our tasks
hard limit  + a moment         Celery kills the process: it gives back what a load that hangs holds on to
"""

from __future__ import annotations

from math import ceil
from typing import Final

from warmer.options import Options
from warmer.settings import Settings

_MOMENT_S: Final = 1.0
#: Kombu's own default: what it redelivers later than that, the due index has long sent again.
_LEAST_VISIBILITY_S: Final = 3600


def outcome_s(options: Options, settings: Settings) -> float:
    """Seconds after which a task gives up on its runtime: the load, and a slow answer before and after it."""
    return options.timeout_s + 2 * (settings.command_timeout + settings.connect_timeout) + _MOMENT_S


def soft_limit_s(options: Options, settings: Settings) -> int:
    """Seconds after which Celery would interrupt the task."""
    return ceil(outcome_s(options, settings) + _MOMENT_S)


def hard_limit_s(options: Options, settings: Settings) -> int:
    """Seconds after which Celery kills the process that runs the task (prefork only)."""
    return ceil(soft_limit_s(options, settings) + _MOMENT_S)


def visibility_s(longest_hard_limit_s: int) -> int:
    """Seconds after which Redis as a broker gives a message that was taken and not done to another worker.

    A message may wait in a worker behind another before it runs, so twice the longest limit. Below that, a
    slow load would be handed out a second time while it runs.
    """
    return max(_LEAST_VISIBILITY_S, 2 * longest_hard_limit_s + 600)


def lost_child_pause_s(settings: Settings) -> int:
    """Seconds until a message whose process died is tried again: by then the dead one's lease has ended."""
    return ceil(settings.lease + _MOMENT_S)
