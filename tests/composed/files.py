"""What docker-compose.yml says of a service, with its variables filled in, and what the image adds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"

# ${NAME}, ${NAME:-default} and ${NAME:?what to do}: the forms that the file uses.
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<how>:[-?])(?P<text>[^}]*))?\}")


class VariableMissing(Exception):
    """A variable that has no default is not set; the message is the file's own."""


@dataclass(frozen=True, slots=True)
class Service:
    """One service: what it runs, in which environment, and how it is asked whether it is well."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    health_command: tuple[str, ...]
    settings: Mapping[str, Any]


def services(variables: Mapping[str, str]) -> dict[str, Service]:
    """Every service, as compose would read it with these variables. Raises VariableMissing."""
    read = YAML(typ="safe").load(COMPOSE_FILE.read_text("utf-8"))["services"]
    found = {}
    for name, raw in read.items():
        settings = _filled(raw, variables)
        test = settings.get("healthcheck", {}).get("test", [])
        found[name] = Service(
            name,
            tuple(settings.get("command", ())),
            settings.get("environment", {}),
            tuple(test[1:]) if test[:1] == ["CMD"] else (),
            settings,
        )
    return found


@cache
def image_environment() -> dict[str, str]:
    """What the image's own ENV lines say; its PATH is not this machine's."""
    found: dict[str, str] = {}
    for line in _last_stage():
        if line.startswith("ENV "):
            pairs = (part.partition("=") for part in line.split()[1:])
            found.update({name: value for name, _, value in pairs})
    del found["PATH"]
    return found


@cache
def image_folders() -> tuple[str, ...]:
    """The folders of the repository that the image has in its working directory."""
    copies = (re.fullmatch(r"COPY (\w+) \./\1", line) for line in _last_stage())
    return tuple(copy[1] for copy in copies if copy)


def server_arguments(service: Service) -> dict[str, str]:
    """The configuration that a server gets on its command line, as {"maxmemory": "512mb"}."""
    names, values = service.command[1::2], service.command[2::2]
    assert all(name.startswith("--") for name in names), service.command
    return dict(zip((name.removeprefix("--") for name in names), values, strict=True))


def _last_stage() -> list[str]:
    lines = (ROOT / "Dockerfile").read_text("utf-8").splitlines()
    first = max(number for number, line in enumerate(lines) if line.startswith("FROM "))
    return lines[first:]


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(part, variables) for key, part in value.items()}
    if isinstance(value, list):
        return [_filled(part, variables) for part in value]
    if isinstance(value, str):
        return _VARIABLE.sub(lambda match: _one(match, variables), value)
    return value


def _one(match: re.Match[str], variables: Mapping[str, str]) -> str:
    given = variables.get(match["name"], "")
    if given or match["how"] is None:
        return given
    if match["how"] == ":?":
        raise VariableMissing(match["text"])
    return str(match["text"])
