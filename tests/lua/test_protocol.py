"""The scripts against the model; and mutants of the scripts, each of which the machine must catch."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.lua.mutations import MUTATIONS, Mutation, hunt, machine
from warmer import lua
from warmer.testing import ValkeyServer

THOROUGH = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.timeout(600)
def test_the_scripts_do_what_the_model_says(each_redis_url: str) -> None:
    """Whatever the order of loads, invalidations, restarts and time, the model foretells replies and
    values.
    """
    run_state_machine_as_test(machine(each_redis_url, lua.source), settings=THOROUGH)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name.replace(" ", "-"))
def test_a_script_that_is_broken_on_purpose_is_caught(
    warmer_server: ValkeyServer, mutation: Mutation
) -> None:
    """The machine notices each line of the protocol that is taken out."""
    assert hunt(warmer_server.url, mutation, 400) is not None
