"""docker-compose.yml by itself: its form, and what it must say of every service."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.composed.files import COMPOSE_FILE, ROOT, Service, VariableMissing, server_arguments, services
from tests.composed.files import image_folders as folders_of_image

OURS = ("loader", "worker", "scheduler", "flower")
VARIABLES = {"FLOWER_PASSWORD": "of-the-test"}


@pytest.fixture
def composed() -> dict[str, Service]:
    """Every service."""
    return services(VARIABLES)


def test_the_file_is_what_the_compose_schema_asks_for() -> None:
    """The file fits the JSON schema of the Compose specification."""
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*check, str(COMPOSE_FILE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["valkey", "postgres", "worker", "scheduler", "flower"])
def test_what_keeps_running_has_a_health_check_and_is_started_again(
    composed: dict[str, Service], name: str
) -> None:
    """Each service that stays up says whether it is well, and comes back when it ends or the machine does."""
    settings = composed[name].settings
    assert settings["healthcheck"]["test"]
    assert settings["restart"] == "unless-stopped"


def test_the_servers_keep_their_data(composed: dict[str, Service]) -> None:
    """Valkey and PostgreSQL write to volumes, and Valkey writes each change."""
    assert composed["valkey"].settings["volumes"] == ["valkey:/data"]
    assert composed["postgres"].settings["volumes"] == ["postgres:/var/lib/postgresql/data"]
    assert server_arguments(composed["valkey"])["appendonly"] == "yes"


def test_valkey_lets_other_containers_in(composed: dict[str, Service]) -> None:
    """Without a password, protected mode would turn away all who are not in Valkey's own container."""
    assert server_arguments(composed["valkey"])["protected-mode"] == "no"


@pytest.mark.parametrize("name", OURS)
def test_our_containers_may_do_no_more_than_they_need(composed: dict[str, Service], name: str) -> None:
    """No rights of root, no way to get them, and nothing to write to but memory."""
    settings = composed[name].settings
    assert settings["cap_drop"] == ["ALL"]
    assert settings["security_opt"] == ["no-new-privileges:true"]
    assert settings["read_only"] is True
    assert (ROOT / "Dockerfile").read_text("utf-8").count("\nUSER 10001\n") == 1


def test_one_service_builds_the_image_and_none_pulls_it(composed: dict[str, Service]) -> None:
    """The image of ours is built once, by what all others wait for; none takes a stranger's of that name."""
    assert [name for name in OURS if "build" in composed[name].settings] == ["loader"]
    assert {composed[name].settings["image"] for name in OURS} == {"warmer-flights"}
    assert {name: composed[name].settings["pull_policy"] for name in OURS} == {
        "loader": "build", "worker": "never", "scheduler": "never", "flower": "never",
    }  # fmt: skip
    for name in ("worker", "scheduler", "flower"):
        assert "loader" in composed[name].settings["depends_on"]


def test_nothing_is_published_beyond_this_machine(composed: dict[str, Service]) -> None:
    """The one published port is Flower's, on loopback."""
    published = {name: one.settings["ports"] for name, one in composed.items() if "ports" in one.settings}
    assert published == {"flower": ["127.0.0.1:5555:5555"]}


def test_without_a_password_for_flower_nothing_starts() -> None:
    """The password of the page is chosen by who starts it, and the message says how."""
    with pytest.raises(VariableMissing, match="export FLOWER_PASSWORD"):
        services({})


def test_only_flower_knows_its_password(composed: dict[str, Service]) -> None:
    """The password is in the environment of the one service that needs it."""
    assert [name for name, one in composed.items() if "of-the-test" in str(one.settings)] == ["flower"]


def test_a_worker_has_time_to_finish_a_load(composed: dict[str, Service]) -> None:
    """A worker is not killed before a load of the default timeout (30 s) can have ended."""
    assert int(composed["worker"].settings["stop_grace_period"].removesuffix("s")) > 30


def test_the_image_holds_the_deployment_and_nothing_else_of_the_repository() -> None:
    """What is copied beside the engine is what to warm and when."""
    assert folders_of_image() == ("tasks", "schedules")
