"""A strict query that is in force and stored, and a place between COMMIT and invalidation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.strict import JANUARY, Strict
from tests.tracked import Tracked
from warmer.outbox.process import Outbox
from warmer.testing import Clock


@pytest.fixture
def clock(made: Tracked, warmer_clock: Callable[..., Clock]) -> Clock:
    """The clock of the tracked namespace."""
    return warmer_clock(made.flights)


@pytest.fixture
def strict(made: Tracked, clock: Clock) -> Strict:
    """The strict query, with what it gives for January stored."""
    strict = Strict(made, clock)
    assert strict.query(*JANUARY) == 0
    assert strict.is_stored()
    return strict


@pytest.fixture
def seam(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[[], None]]]:
    """What is put here is done between COMMIT and its invalidation, once."""
    todo: list[Callable[[], None]] = []
    apply = Outbox.apply

    def between(self: Outbox, changes: Any, *more: Any) -> Any:
        while todo:
            todo.pop()()
        return apply(self, changes, *more)

    monkeypatch.setattr(Outbox, "apply", between)
    yield todo
    assert todo == []
