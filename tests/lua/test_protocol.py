"""The scripts against the model; and mutants of the scripts, each of which the machine must catch."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.lua.protocol_machine import ProtocolMachine
from warmer import lua

MACHINE = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
    report_multiple_bugs=False,
)


def _machine(url: str, source: Any) -> type[ProtocolMachine]:
    return cast(
        "type[ProtocolMachine]",
        type("Bound", (ProtocolMachine,), {"url": url, "source": staticmethod(source)}),
    )


def test_the_scripts_do_what_the_model_says(each_redis_url: str) -> None:
    """Whatever the order of loads, invalidations, restarts and time, replies and stored values are the
    model's.
    """
    run_state_machine_as_test(_machine(each_redis_url, lua.source), settings=MACHINE)
