"""Writes docs/configuration.md: `python -m warmer.settings.page > docs/configuration.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import fields

from warmer.settings.fields import About, Settings
from warmer.settings.kinds import Live

HEAD = """\
# Settings

<!-- Made by `python -m warmer.settings.page`; change warmer/settings/fields.py and make it again. -->

> In short: nothing must be set. What matters in production is `redis_url`, `broker_url` and `database_url`.

A setting may be given in four ways; the first one found counts:

1. a keyword: `Warmer("flights", lease=5)`;
2. an environment variable: `WARMER_LEASE=5`;
3. `[tool.warmer]` in the nearest `pyproject.toml` that has that table, from the working directory upward:
   `lease = 5`;
4. the default.

Durations are seconds; a keyword may be a `timedelta`, too, and a keyword that is `None` counts as not given.
Names that are no setting are errors, in all of the first three places, and so are settings that contradict
each other. All problems are reported at once, as a `ConfigurationError`, before anything is connected to.
Variables that begin with `WARMER_TEST_`, `WARMER_RACE_`, `WARMER_DEMO_` or `WARMER_BENCH_` are no settings.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_sections()])


def _sections() -> Iterator[str]:
    for one in fields(Settings):
        if one.name in {"namespace", "given"}:
            continue
        about: About = one.metadata["about"]
        yield f"## {one.name}\n"
        yield f"{about.means}\n"
        yield f"- **Expected**: {about.kind.expected}"
        if not isinstance(about.kind, Live):
            yield f"- **Default**: {_default(one.name, one.default)}"
            yield f"- **Environment**: `WARMER_{one.name.upper()}`"
        for title, words in (("Too low", about.low), ("Too high", about.high), ("Special", about.special)):
            if words:
                yield f"- **{title}**: {words}"
        yield ""


def _default(name: str, value: object) -> str:
    if name == "queue":
        return "the namespace's name"
    if name == "broker_url":
        return "made from `redis_url`"
    if value is None:
        return "unset"
    if isinstance(value, tuple):
        return ", ".join(f"`{word}`" for word in value)
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


if __name__ == "__main__":
    sys.stdout.write(page())
