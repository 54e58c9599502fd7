"""What the testing tools raise where the tested code did not do what was expected.

They are AssertionErrors as well, so that pytest reports them as failures of the test.
"""

from __future__ import annotations

from dataclasses import dataclass

from warmer.errors import WarmerError


class ExpectationFailed(WarmerError, AssertionError):
    """What a test expected did not happen."""

    def __str__(self) -> str:
        """The message alone: what follows it in a test report is the test itself."""
        return self.message()


@dataclass(eq=False, repr=False)
class NotReached(ExpectationFailed):
    """A condition did not come true in time."""

    awaited: str
    waited_s: float
    last_value: str

    def message(self) -> str:
        """Name the condition and its last value."""
        return f"waited {self.waited_s:g} s for {self.awaited}; the last value was {self.last_value}."


@dataclass(eq=False, repr=False)
class ChildEnded(ExpectationFailed):
    """A child process ended while something was still expected of it."""

    name: str
    exit_code: int
    expected: str
    log_tail: str

    def message(self) -> str:
        """Name the process and what it was meant to do, and show the end of its log."""
        return (
            f"{self.name} ended with code {self.exit_code} before {self.expected}. "
            f"The end of its log:\n{self.log_tail}"
        )
