"""One command on its way from an event loop, and the readers who wait for its reply."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any

#: What came of a command, and the life it was read in; the error if the server is away.
Answer = tuple[Any, bytes]
Wake = Callable[[Any], object]


class Asked(asyncio.Future[Answer]):
    """A reader's command, and the others who asked for the same before it was sent.

    It is a future whose one waiter is run as soon as the reply is here. A plain future would have the loop do
    so in its next turn, and that costs more than everything else that is done for a reply: so it is where
    many tasks read at once. `answer` must be called from a callback of the loop, never from within a task.
    """

    # Slots, and no `__init__`: fifty of these are made in a turn, and none should need a dict of its own.
    __slots__ = ("again", "also", "context", "deadline", "packed", "wake")

    # To be set by who makes one.
    packed: bytes
    wake: Wake | None  # None until somebody waits
    also: list[Asked] | None
    again: bool  # it was sent on a connection that was cut: once more, and no third time
    # Set when a task waits, and when it is sent.
    context: Context
    deadline: float

    def add_done_callback(self, wake: Wake, *, context: Context | None = None) -> None:
        """A task's way of waiting. A second waiter, or a late one, is told as by any future."""
        if self.wake is None and context is not None and not self.done():
            self.wake, self.context = wake, context
        else:
            super().add_done_callback(wake, context=context)

    def remove_done_callback(self, wake: Wake, /) -> int:
        """As of any future."""
        if self.wake != wake:
            return super().remove_done_callback(wake)
        self.wake = None
        return 1

    def cancel(self, msg: Any | None = None) -> bool:
        """Nobody waits any more. Its place in the row stays, and its reply is dropped."""
        if not super().cancel(msg):
            return False
        wake, self.wake = self.wake, None
        if wake is not None:
            self.get_loop().call_soon(wake, self, context=self.context)
        return True

    def join(self, other: Asked) -> None:
        """Let another reader have the reply, too: this has not been sent yet."""
        if self.also is None:
            self.also = [other]
        else:
            self.also.append(other)

    @property
    def given_up(self) -> bool:
        """Whether nobody waits for the reply."""
        return self.done() and (self.also is None or all(one.done() for one in self.also))

    def answer(self, answer: Answer) -> None:
        """Run those who still wait, one after another."""
        if self.also is None:
            self._tell(answer)
            return
        everybody = iter([self, *self.also])
        try:
            for one in everybody:
                one._tell(answer)
        except BaseException:  # a reader ends the program: the others are told if the loop runs on
            for one in everybody:
                self.get_loop().call_soon(one._tell, answer)
            raise

    def answer_soon(self, answer: Answer) -> None:
        """The same in the loop's next turn: for where a task may be running."""
        self.get_loop().call_soon(self.answer, answer)

    def _tell(self, answer: Answer) -> None:
        if self.done():
            return
        self.set_result(answer)
        wake, self.wake = self.wake, None
        if wake is not None:
            self.context.run(wake, self)
