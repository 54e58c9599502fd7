"""`python -m demo`: see the package's docstring. 0 when all promises held, 1 when one did not."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

from demo import scenery
from demo.setting import Setting
from demo.stage import Stage, environment
from warmer.errors import WarmerError

#: Everything that is written is in here, where `python -m tasks.load` puts the flights, too.
ROOM = Path(".warmer")


#: With less, what a plan has warmed first would be too old when it has warmed the last.
LEAST_S = 30.0


def main() -> int:
    """Plays the demo from the command line's numbers; the exit code."""
    arguments = _arguments()
    setting = Setting(seconds=arguments.seconds, reads_per_s=arguments.reads, writes_per_s=arguments.writes)
    console = Console(highlight=False)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return _perform(setting, console, stay=arguments.stay)
    except KeyboardInterrupt:
        console.print("interrupted; everything is stopped.")
        return 130
    except (WarmerError, RuntimeError, subprocess.CalledProcessError) as failure:
        console.print(f"the demo could not be played: {failure}", style="red", markup=False)
        return 2


def _perform(setting: Setting, console: Console, *, stay: bool) -> int:
    began = time.monotonic()
    folder = (ROOM / "demo").absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    loaded, database = ROOM / "flights.db", folder / "flights.db"
    _load(loaded)
    scenery.copy_flights(loaded, database)
    delays = scenery.open_the_day(database, setting.day, setting.seed)
    env = environment(database, setting.ttl_s, setting.day.isoformat(), folder / "statements.warmer")
    with Stage(folder, env) as stage:
        up_s = time.monotonic() - began
        console.print(f"Up after {up_s:.0f} s: Valkey, a worker, a scheduler, and Flower at {stage.flower}")
        _take_on({**env, "WARMER_REDIS_URL": stage.redis_url, "FLIGHTS_STATEMENT_LOG": None})
        # Only now: what these import reads the environment.
        from demo.play import Props, perform

        held = perform(setting, Props(folder, env, delays, console), stage)
        console.print(
            f"Done after {time.monotonic() - began:.0f} s; logs are in {folder.relative_to(Path.cwd())}/."
        )
        if stay:
            console.print(f"Still up. Flower: {stage.flower}. Ctrl-C stops everything.")
            signal.pause()
    return 0 if held else 1


def _load(file: Path) -> None:
    """The very command of the README, with its progress bar."""
    env = {**os.environ, "WARMER_DATABASE_URL": f"sqlite:///{file.absolute()}"}
    subprocess.run([sys.executable, "-m", "tasks.load"], env=env, check=True)


def _take_on(env: dict[str, str | None]) -> None:
    """Makes these the variables of this process, too."""
    for name, value in env.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _arguments() -> argparse.Namespace:
    defaults = Setting()
    parser = argparse.ArgumentParser(prog="python -m demo", description="A morning at three airports.")
    for name, default, what in (
        ("seconds", defaults.seconds, "how long it is played"),
        ("reads", defaults.reads_per_s, "reads a second, of each cache"),
        ("writes", defaults.writes_per_s, "delays reported a second"),
    ):
        parser.add_argument(f"--{name}", type=float, default=default, help=f"{what} (default: {default:g})")
    parser.add_argument("--stay", action="store_true", help="keep everything up afterwards, with Flower")
    arguments = parser.parse_args()
    for name, least in (("seconds", LEAST_S), ("reads", 1), ("writes", 0.1)):
        if not getattr(arguments, name) >= least:
            parser.error(f"--{name} is {getattr(arguments, name):g}, expected at least {least:g}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
