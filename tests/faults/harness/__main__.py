"""`python -m tests.faults.harness --reads 300000 [--without fence]`: one run, on servers of its own."""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.faults.harness.run import run
from tests.faults.harness.seams import SEAMS
from tests.faults.harness.setting import Setting
from warmer.testing import ValkeyServer


def main() -> int:
    """Run once; exit 0 if nothing was wrong (with a seam taken out: if something was)."""
    asked = _arguments()
    with contextlib.ExitStack() as stack:
        folder = Path(asked.keep or stack.enter_context(tempfile.TemporaryDirectory(prefix="warmer-race-")))
        folder.mkdir(exist_ok=True)
        server = stack.enter_context(ValkeyServer(folder / "server"))
        broker = stack.enter_context(ValkeyServer())
        database = stack.enter_context(_database(asked.database, folder))
        setting = Setting(
            folder, server.url, broker.url, database, asked.seed,
            asked.readers, asked.threads, asked.writers, asked.pace, asked.load, asked.without,
            asked.calm, asked.shards, asked.trust or asked.without == "replay",
        )  # fmt: skip
        sys.stdout.write(f"{'without ' + asked.without if asked.without else 'whole'}, seed {asked.seed}\n")
        verdict = run(setting, server, asked.reads, asked.limit, until_wrong=bool(asked.without))
    sys.stdout.write(f"{verdict}\n")
    if asked.without:
        sys.stdout.write(f"without {asked.without}: caught by {verdict.caught or 'nothing'}\n")
        return 0 if verdict.caught else 1
    return 1 if verdict.wrong else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reads", type=int, default=300_000)
    parser.add_argument("--limit", type=float, default=3600, help="seconds, at most")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument(
        "--database", default="postgresql", help="postgresql, sqlite, or the URL of an empty one"
    )
    parser.add_argument("--readers", type=int, default=3, help="processes")
    parser.add_argument("--threads", type=int, default=5, help="in each of them")
    parser.add_argument("--writers", type=int, default=3)
    parser.add_argument("--pace", type=float, default=0.1, help="a writer's pause")
    parser.add_argument("--load", type=float, default=0.03, help="the longest pause of a load")
    parser.add_argument("--without", choices=sorted(SEAMS), default="")
    parser.add_argument("--calm", action="store_true", help="disturb nothing")
    parser.add_argument("--shards", type=int, default=1, help="of the namespace")
    parser.add_argument("--trust", action="store_true", help="have trust return after the server is set back")
    parser.add_argument("--keep", help="a folder for the logs")
    return parser.parse_args()


@contextlib.contextmanager
def _database(asked: str, folder: Path) -> Iterator[str]:
    """An empty database of the kind that is asked for."""
    if asked == "sqlite":
        yield f"sqlite:///{folder / 'race.db'}"
    elif asked == "postgresql":
        from warmer.testing.postgres import PostgresServer

        with PostgresServer.kept(folder, os.getpid()).database() as url:
            yield url
    else:
        yield asked


if __name__ == "__main__":
    sys.exit(main())
