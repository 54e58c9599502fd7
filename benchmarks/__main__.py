"""`python -m benchmarks [--json FILE]`: on a server of its own; a table, and JSON where asked for."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import near
from benchmarks.hits import measure
from warmer.testing import ValkeyServer


def main() -> None:
    """Measure, and show ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the records to this file")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ValkeyServer(data_dir=Path(folder)) as server:
        records = measure(server.url)
        near_records = near.measure(server.url)
    table = Table(
        "what", "bytes", "redis-py get + decode", "warmer hit", "ratio", box=None, header_style="bold"
    )
    for record in records:
        table.add_row(
            str(record["what"]), str(record["bytes"]), f"{record['redis-py get + decode us']} us",
            f"{record['warmer hit us']} us", str(record["ratio"]),
        )  # fmt: skip
    Console().print(table)
    Console(width=200).print(near.show(near_records))
    if asked.json:
        asked.json.write_text(json.dumps([*records, *near_records], indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
