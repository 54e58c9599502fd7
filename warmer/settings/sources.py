"""Where settings come from: pyproject.toml, the environment, keywords."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from warmer.errors import did_you_mean, mask, show
from warmer.settings.kinds import Kind, Live

PREFIX = "WARMER_"
# Variables of these names are no settings: they steer the tests, the demo and the benchmarks.
OTHER_PREFIXES = ("WARMER_TEST_", "WARMER_RACE_", "WARMER_DEMO_", "WARMER_BENCH_")


@dataclass(frozen=True, slots=True)
class Given:
    """One value that fits, and where it was given."""

    name: str
    value: object
    origin: str


@dataclass(slots=True)
class Found:
    """What was found so far; a later source wins."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, name: str, value: object, origin: str, kind: Kind) -> None:
        """Check one value and keep it, or note what is wrong with it."""
        self.add_all(_checked([(name, value, origin)], {name: kind}, self.problems))

    def add_all(self, given: Iterable[Given]) -> None:
        """Keep values that fit."""
        for one in given:
            self.values[one.name] = one.value
            self.origins[one.name] = one.origin


def from_keywords(
    overrides: Mapping[str, object], kinds: Mapping[str, Kind], problems: list[str]
) -> Iterator[Given]:
    """The keywords of `Warmer(...)`; one that is None counts as not given."""
    for name, value in overrides.items():
        if name in kinds and value is None:
            continue
        if name in kinds:
            yield from _checked([(name, value, f"the keyword {name}")], kinds, problems)
        else:
            problems.append(_unknown(f"the keyword {name}", name, kinds))


def from_environment(
    environ: Mapping[str, str], kinds: Mapping[str, Kind], problems: list[str]
) -> Iterator[Given]:
    """The `WARMER_*` variables."""
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX) or variable.startswith(OTHER_PREFIXES):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name not in kinds or isinstance(kinds[name], Live):
            written = [known.upper() for known, kind in kinds.items() if not isinstance(kind, Live)]
            problems.append(_unknown(variable, variable.removeprefix(PREFIX), written, PREFIX))
            continue
        try:
            yield Given(name, kinds[name].from_text(text), variable)
        except ValueError:
            problems.append(_unfit(variable, kinds[name], text))


def from_pyproject(folder: Path, kinds: Mapping[str, Kind], problems: list[str]) -> Iterator[Given]:
    """The table `[tool.warmer]` of the nearest pyproject.toml that has one, from `folder` upward."""
    table, origin = _nearest_table(folder, problems)
    for name, value in table.items():
        where = f"{origin} [tool.warmer] {name}"
        if name in kinds and not isinstance(kinds[name], Live):
            yield from _checked([(name, value, where)], kinds, problems)
        else:
            written = [known for known, kind in kinds.items() if not isinstance(kind, Live)]
            problems.append(_unknown(where, name, written))


def _nearest_table(folder: Path, problems: list[str]) -> tuple[dict[str, object], str]:
    for place in (folder, *folder.parents):
        path = place / "pyproject.toml"
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError:
            continue
        except ValueError as broken:
            problems.append(f"{path} can't be read as TOML: {broken}")
            return {}, str(path)
        table = document.get("tool", {}).get("warmer")
        if table is None:
            continue
        if isinstance(table, dict):
            return table, str(path)
        problems.append(f"{path}: expected [tool.warmer] to be a table, got: {show(table)}")
        return {}, str(path)
    return {}, ""


def _checked(
    given: Iterable[tuple[str, object, str]], kinds: Mapping[str, Kind], problems: list[str]
) -> Iterator[Given]:
    for name, value, origin in given:
        try:
            yield Given(name, kinds[name].accept(value), origin)
        except ValueError:
            problems.append(_unfit(origin, kinds[name], value))


def _unfit(origin: str, kind: Kind, value: object) -> str:
    shown = "a value that is not shown" if getattr(kind, "secret", False) else mask(show(value))
    return f"{origin}: expected {kind.expected}, got: {shown}"


def _unknown(origin: str, name: str, known: Iterable[str], prefix: str = "") -> str:
    nearest = did_you_mean(name, known)
    meant = f"Did you mean {prefix}{nearest}?" if nearest else "docs/configuration.md lists them all."
    return f"{origin}: there is no such setting. {meant}"
