"""What tests of reading share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.board import Board


@pytest.fixture
def make_board(redis_url: str, namespace: str) -> Iterator[Callable[..., Board]]:
    """Makes boards: one namespace, as often as a test wants it, as if by several processes."""
    made: list[Board] = []

    def make(**options: Any) -> Board:
        made.append(Board(namespace, options.pop("redis_url", redis_url), **options))
        return made[-1]

    yield make
    for board in made:
        board.close()


@pytest.fixture
def board(make_board: Callable[..., Board]) -> Board:
    """A query with a ttl of a minute."""
    return make_board()


@pytest.fixture
def start() -> Iterator[Callable[..., Future[Any]]]:
    """Calls a function in a thread of its own."""
    with ThreadPoolExecutor(64, thread_name_prefix="test-reader") as pool:
        yield pool.submit
