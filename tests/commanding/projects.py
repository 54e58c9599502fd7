"""Small projects, as files."""

from __future__ import annotations

from pathlib import Path

_TASKS = '''
"""Numbers, from no database."""

from __future__ import annotations

from datetime import date

from warmer import Warmer, every

shop = Warmer("shop")
print("this line of a user's module is no result")


@shop.cached(ttl=60, name="numbers.double", version="1", tags=("parity:{parity}",))
def double(n: int, parity: str = "any") -> int:
    """Twice the number."""
    if n == 13:
        raise ValueError("no [bold] luck")
    return 2 * n


@shop.cached(ttl=60, name="days.named", version="1")
def named(day: date) -> str:
    """The day's name."""
    return day.strftime("%A")


@shop.plan(every(3600), rate="100/s")
def hourly():
    """The first numbers.

    And more that a list does not show.
    """
    for n in range(5):
        yield double.bind(n)


@shop.plan(every(86400))
def broken():
    """Ends in the middle."""
    yield double.bind(1)
    raise RuntimeError("out of [numbers]")
'''


def write_numbers(folder: Path) -> Path:
    """A project with two queries that need no database, and two plans of which one is broken."""
    return write_tasks(folder, _TASKS)


def write_tasks(folder: Path, source: str, **modules: str) -> Path:
    """A project whose `tasks/__init__.py` has this source, and further modules of it; its folder."""
    tasks = folder / "tasks"
    tasks.mkdir(parents=True)
    for name, text in {"__init__": source, **modules}.items():
        (tasks / f"{name}.py").write_text(text, "utf-8")
    return folder
