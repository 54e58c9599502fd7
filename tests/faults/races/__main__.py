"""`python -m tests.faults.races --reads 1000000 [--without fence]`: the race, on a server of its own."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.faults.races.race import Race, run
from tests.faults.races.seams import SEAMS
from warmer.testing import ValkeyServer


def main() -> int:
    """Run once; exit 0 if nothing stale was read (with a seam taken out: if something was)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reads", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--threads", type=int, default=6)
    parser.add_argument("--rows", type=int, default=12)
    parser.add_argument("--writers", type=int, default=2)
    parser.add_argument("--pace", type=float, default=0.02)
    parser.add_argument("--load", type=float, default=0.03)
    parser.add_argument("--limit", type=float, default=600)
    parser.add_argument("--without", choices=sorted(SEAMS), default="")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ValkeyServer(data_dir=Path(folder)) as server:
        race = Race(
            server.url, asked.reads, asked.processes, asked.threads, asked.rows, asked.writers,
            asked.pace, asked.load, asked.without,
        )  # fmt: skip
        verdict = run(race, asked.limit)
    sys.stdout.write(f"{'without ' + asked.without if asked.without else 'whole'}: {verdict}\n")
    return 0 if (verdict.stale > 0) == bool(asked.without) and not verdict.errors else 1


if __name__ == "__main__":
    sys.exit(main())
