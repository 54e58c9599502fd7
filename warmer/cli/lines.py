"""Lines of children's logs, each program's own way of writing a time and a level read and put aside."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_DEBUG, INFO, WARNING, ERROR = range(4)
_LEVELS: Final = {
    "D": _DEBUG, "I": INFO, "W": WARNING, "E": ERROR, "C": ERROR,  # Celery and Flower, by the first letter
    ".": _DEBUG, "-": INFO, "*": INFO, "#": WARNING,  # Valkey and Redis
}  # fmt: skip
_FORMS: Final = (
    # Celery, and ours: [2026-11-22 10:15:00,123: INFO/MainProcess] text
    re.compile(r"\[[\d-]{10} (?P<time>[\d:]{8}),\d+: (?P<level>[DIWEC])[A-Z]+/[^\]]*\] ?(?P<text>.*)"),
    # Flower: [I 261122 10:15:00 command:177] text
    re.compile(r"\[(?P<level>[DIWEC]) \d{6} (?P<time>[\d:]{8}) [^\]]*\] ?(?P<text>.*)"),
    # Valkey: 123:M 22 Nov 2026 10:15:00.123 # text
    re.compile(r"\d+:[A-Z] \d+ \w+ \d{4} (?P<time>[\d:]{8})\.\d+ (?P<level>[.*#-]) (?P<text>.*)"),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line. time: HH:MM:SS; "" for one that goes on with what the line before it said."""

    text: str
    time: str = ""
    level: int = INFO

    @property
    def continues(self) -> bool:
        """Whether it has no time of its own, as a traceback's lines."""
        return not self.time


def read_line(raw: str, before: Line | None = None) -> Line:
    """The parts of a line; one that continues another has that one's level."""
    for form in _FORMS:
        match = form.fullmatch(raw)
        if match is not None:
            return Line(match["text"], match["time"], _LEVELS[match["level"]])
    return Line(raw, level=before.level if before is not None else INFO)
