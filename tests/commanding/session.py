"""A person at a shell: command lines, one after the other, in a project's folder.

An interpreter takes about a second to get ready, so one of them hears many lines; each goes the whole way of
the `warmer` script, from its words to its exit code.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_LISTENER = """
import contextlib, io, json, sys
from warmer.cli import main
answers, sys.stdout = sys.stdout, sys.stderr
for line in sys.stdin:
    sys.argv = ["warmer", *json.loads(line)]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as exc:
            code = exc.code
    print(json.dumps([code, out.getvalue(), err.getvalue()]), file=answers, flush=True)
"""


@dataclass(frozen=True, slots=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its one JSON document."""
        return json.loads(self.out)


class Session:
    """A context manager: `said = session("warm", "sales_of", "month=3")`."""

    def __init__(self, folder: Path, env: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LISTENER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=clean_environment(env),
        )

    def __call__(self, *words: str) -> Said:
        """Say one command line, without `warmer` in front, and wait for its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the session ended while it did `warmer {' '.join(words)}`"
        return Said(*json.loads(answer))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()


def say(folder: Path, *words: str, env: Mapping[str, str] | None = None) -> Said:
    """One command line in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "warmer", *words],
        cwd=folder, env=clean_environment(env), capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    return Said(done.returncode, done.stdout, done.stderr)


def clean_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without its terminal's width, and `more`."""
    return {name: text for name, text in os.environ.items() if name not in {"COLUMNS", "LINES"}} | dict(
        more or {}
    )
