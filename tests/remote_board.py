"""A board in a process of its own, driven from a test: `python -m tests.remote_board URL NAMESPACE CHANNEL`.

What is asked and answered goes through two keys of the test's own server, outside of the namespace.
"""

from __future__ import annotations

import itertools
import json
import sys
import threading
from dataclasses import dataclass
from typing import Any

import redis

from tests.board import Board
from tests.patience import PATIENCE_S
from warmer.testing import ChildProcess, python, wait_until


@dataclass(frozen=True)
class Answer:
    """What was asked of the other process, and in time what it said."""

    remote: RemoteBoard
    number: int

    def there(self) -> bool:
        return bool(self.remote.redis.hexists(self.remote.answers, str(self.number)))

    def value(self) -> Any:
        """Wait for the answer. Raises AssertionError with the error of the other process."""
        wait_until(
            self.there, timeout_s=PATIENCE_S, description=lambda: f"an answer. {self.remote.child.tail()}"
        )
        text = self.remote.redis.hget(self.remote.answers, str(self.number))
        assert isinstance(text, bytes)
        value, error = json.loads(text)
        assert error is None, error
        return value


class RemoteBoard:
    """The test's end: `remote.ask("read", "JFK").value()`."""

    _numbers = itertools.count(1)

    def __init__(self, redis_url: str, namespace: str, **options: Any) -> None:
        self.redis = redis.Redis.from_url(redis_url)
        name = f"remote:{next(self._numbers)}"
        self.questions, self.answers = f"{name}:questions", f"{name}:answers"
        self._asked = itertools.count(1)
        self.child: ChildProcess = python(
            "-m", "tests.remote_board", redis_url, namespace, name, json.dumps(options), name=name
        )

    def __enter__(self) -> RemoteBoard:
        self.child.start()
        self.child.wait_for_line("ready")
        return self

    def __exit__(self, *_: object) -> None:
        self.child.close()
        self.redis.close()

    def ask(self, what: str, *args: Any) -> Answer:
        """Have the other process do something: a thread of its own does it there."""
        answer = Answer(self, next(self._asked))
        self.redis.rpush(self.questions, json.dumps([answer.number, what, args]))
        return answer

    def do(self, what: str, *args: Any) -> Any:
        """The same, and wait for it."""
        return self.ask(what, *args).value()


class _OtherEnd:
    def __init__(self, redis_url: str, namespace: str, name: str, options: dict[str, Any]) -> None:
        self.redis = redis.Redis.from_url(redis_url)
        self.questions, self.answers = f"{name}:questions", f"{name}:answers"
        self.board = Board(namespace, redis_url, **options)

    def serve(self) -> None:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            asked = self.redis.blpop([self.questions], timeout=1)
            if asked is not None:
                number, what, args = json.loads(asked[1])
                threading.Thread(target=self._answer, args=(number, what, args), daemon=True).start()

    def _answer(self, number: int, what: str, args: list[Any]) -> None:
        try:
            said = [getattr(self, what)(*args), None]
        except BaseException as error:  # noqa: BLE001 - told to the test
            said = [None, f"{type(error).__name__}: {error}"]
        self.redis.hset(self.answers, str(number), json.dumps(said))

    def read(self, airport: str) -> int:
        return self.board.departures(airport) * 100

    def refresh(self, airport: str) -> int:
        return self.board.departures.refresh(airport) * 100

    def invalidate(self, airport: str) -> int:
        return self.board.departures.invalidate(airport)

    def hold(self, load: int) -> None:
        self.board.hold(load)

    def fail(self, load: int, text: str) -> None:
        self.board.fail(load, ValueError(text))

    def wait_entered(self, load: int) -> None:
        self.board.gates[load].wait_entered()

    def open(self, load: int) -> None:
        self.board.gates[load].open()

    def wait_joined(self, readers: int) -> None:
        self.board.wait_joined(readers)

    def loads(self) -> int:
        return self.board.loads


if __name__ == "__main__":
    _OtherEnd(sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4])).serve()
