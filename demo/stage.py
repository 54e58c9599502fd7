"""What it all runs on: `warmer up` in a folder of its own, and readers and a writer as processes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from demo.messages import Batch, Errand, Heard
from warmer.settings.embedded import ADDRESS
from warmer.testing import python, wait_until

__all__ = ["Actor", "Company", "Stage", "environment"]

_UP_S, _READY_S, _END_S = 60.0, 120.0, 30.0
_HERE = Path(__file__).resolve().parent.parent


def environment(database: Path, ttl_s: float, day: str, statements: Path) -> dict[str, str | None]:
    """The variables of all processes on the warm side. None: what the caller's shell says does not count."""
    ours: dict[str, str | None] = {
        name: None for name in os.environ if name.startswith(("WARMER_", "FLIGHTS_"))
    }
    return ours | {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(_HERE), os.environ.get("PYTHONPATH")))),
        "WARMER_DATABASE_URL": f"sqlite:///{database}",
        "FLIGHTS_TTL_CAP": f"{ttl_s:g}",
        "FLIGHTS_TODAY": day,
        "FLIGHTS_STATEMENT_LOG": str(statements),
    }


class Stage:
    """`warmer up`: an embedded Valkey, a worker, a scheduler and Flower; nothing is left from earlier."""

    def __init__(self, folder: Path, env: Mapping[str, str | None]) -> None:
        """folder: where it keeps its data, and its log."""
        self._room = folder / ".warmer"
        shutil.rmtree(self._room, ignore_errors=True)
        self.log = folder / "up.log"
        self.log.unlink(missing_ok=True)
        self._up = python("-m", "warmer", "up", name="warmer up", cwd=folder, env=env, log_path=self.log)

    def __enter__(self) -> Self:
        """Started; everything answers."""
        self._up.start()
        self._up.wait_for_line(r"\bup\. Ctrl-C", timeout_s=_UP_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stopped as Ctrl-C would, and after that by force; nothing is left."""
        self._up.stop(_END_S)

    @property
    def redis_url(self) -> str:
        """Where its server is, with the password that lets in."""
        return (self._room / ADDRESS).read_text().strip()

    @property
    def flower(self) -> str:
        """Flower's address, and who may see it, as `warmer up` says them."""
        return self._up.wait_for_line(r"Flower at (.+)$").group(1)

    def check(self) -> None:
        """Raises RuntimeError, with the end of its log, if it does not run any more."""
        if not self._up.running:
            raise RuntimeError(f"`warmer up` has ended. The end of its log ({self.log}):\n{self._up.tail()}")


class Actor:
    """A reading or writing process, and what it tells."""

    def __init__(self, name: str, module: str, errand: Errand, env: Mapping[str, str | None]) -> None:
        out = Path(errand.out)
        self._heard = Heard(out)
        self._process = python(
            "-m",
            module,
            msgspec.json.encode(errand).decode(),
            name=name,
            cwd=out.parent,
            env=env,
            log_path=out.with_suffix(".log"),
        )

    def start(self) -> Self:
        """Starts it; it says something once it is ready, and then waits for the cue."""
        self._process.start()
        return self

    @property
    def playing(self) -> bool:
        """Whether it still runs. Raises RuntimeError, with the end of its log, if it has failed."""
        if self._process.returncode not in (None, 0):
            raise RuntimeError(f"the {self._process.name} has failed:\n{self._process.tail()}")
        return self._process.running

    def hear(self) -> list[Batch]:
        """What it has told since the last call."""
        return self._heard.new()

    def stop(self) -> None:
        """Ends it, if it has not ended by itself."""
        self._process.stop()


class Company:
    """All readers and the writer."""

    def __init__(self, actors: Sequence[Actor]) -> None:
        self._actors = actors

    def __enter__(self) -> Self:
        """All started, and ready."""
        for actor in self._actors:
            actor.start()
        waiting = list(self._actors)

        def ready() -> bool:
            waiting[:] = [actor for actor in waiting if actor.playing and not actor.hear()]
            return not waiting

        wait_until(ready, timeout_s=_READY_S, description="the readers and the writer to be ready")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """All ended."""
        for actor in self._actors:
            actor.stop()

    def hear(self) -> list[Batch]:
        """What any of them has told since the last call."""
        return [batch for actor in self._actors for batch in actor.hear()]

    def playing(self) -> bool:
        """Whether any of them still runs. Raises RuntimeError if one has failed."""
        still = [actor for actor in self._actors if actor.playing]
        return bool(still)
