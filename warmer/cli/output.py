"""What commands write: results on stdout, everything else on stderr, and no text taken for markup."""

from __future__ import annotations

import json
import os
import sys
from datetime import date
from typing import Any

from rich.console import Console
from rich.text import Text

# Keys, params and other programs' messages hold brackets and colons: with markup on, they would disappear.
_WIDE = 200


def _console(*, stderr: bool) -> Console:
    """A console as wide as its terminal; into a pipe or a file, one that folds hardly anything."""
    stream = sys.stderr if stderr else sys.stdout
    fixed = None if stream.isatty() or "COLUMNS" in os.environ else _WIDE
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=fixed)


console = _console(stderr=False)
errors = _console(stderr=True)


def print_json(value: Any) -> None:
    """One JSON document on stdout; dates and times in ISO 8601."""
    json.dump(value, sys.stdout, indent=2, default=_plain, allow_nan=False)
    sys.stdout.write("\n")


def tell(error: BaseException, note: str = "") -> None:
    """Say on stderr what went wrong, in the error's own words, with what is known beside it."""
    notes = [*getattr(error, "__notes__", ()), *([note] if note else ())]
    text = Text.assemble(("warmer: ", "bold red"), "\n".join([str(error), *notes]))
    errors.print(text, soft_wrap=True)


def one_line(text: str, most: int = 160) -> str:
    """Another program's message on one line; a database's is cut before its statement."""
    line = " ".join(text.partition("\n[SQL:")[0].split())
    return line if len(line) <= most else f"{line[: most - 3]}..."


def seconds(value: float | None) -> str:
    """A duration for people; - where there is none."""
    if value is None:
        return "-"
    if abs(value) < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if abs(value) < 120 else f"{value / 60:.0f} min"


def counted(number: int, one: str, many: str) -> str:
    """`1 entry`, `2 entries`."""
    return f"{number} {one if number == 1 else many}"


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)
