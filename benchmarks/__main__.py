"""`python -m benchmarks [PART...] [--json FILE] [--chart FILE]`: on a server of its own, parts in turn."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import hits, invalidations, near, rest, stampede, tracking, triggers
from benchmarks.chart import svg
from benchmarks.rounds import Record
from warmer.testing import ValkeyServer


def near_copies(url: str) -> list[Record]:
    """The figures of near copies, as records like the others."""
    records = []
    for one in near.measure(url):
        for name, figure in one.items():
            if isinstance(figure, float):
                way, unit = (name[:-3], "us") if name.endswith(" us") else (name, "")
                target = (
                    "<= 1.5" if name == "near / TTLCache" else "<= 1.0" if name.startswith("above") else ""
                )
                records.append(Record(str(one["what"]), way, figure, unit, target=target))
    return records


PARTS: dict[str, Callable[[str], list[Record]]] = {
    "hits": hits.measure,
    "async": hits.measure_async,
    "near": near_copies,
    "rest": rest.measure,
    "memory": rest.memory,
    "stampede": stampede.measure,
    "invalidations": invalidations.measure,
    "tracking": tracking.measure,
    "triggers": triggers.measure,
}


def main() -> None:
    """Measure, and show figures and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; by default all")
    parser.add_argument("--json", type=Path, help="write the records to this file")
    parser.add_argument("--chart", type=Path, help="write a chart of the ratios to this file, as SVG")
    asked = parser.parse_args()
    unknown = set(asked.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    records, failed = measured(asked.parts or list(PARTS))
    if asked.json:
        asked.json.write_text(json.dumps([record.as_dict() for record in records], indent=2) + "\n", "utf-8")
    if asked.chart:
        asked.chart.write_text(svg(records), "utf-8")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}; the figures are those of the other parts")


def measured(parts: Sequence[str]) -> tuple[list[Record], list[str]]:
    """What the parts found, shown as it comes; and those that failed, which keep no other from its turn."""
    records: list[Record] = []
    failed = []
    for number, name in enumerate(parts, 1):
        progress, began = f"[{number} of {len(parts)}] {name}", time.monotonic()
        sys.stderr.write(f"{progress} ...\n")
        try:
            with tempfile.TemporaryDirectory() as folder, ValkeyServer(data_dir=Path(folder)) as server:
                found = PARTS[name](server.url)
        except Exception:  # noqa: BLE001 - whatever it is, the other parts are not lost to it
            traceback.print_exc()
            failed.append(name)
            continue
        sys.stderr.write(f"{progress}: {time.monotonic() - began:.0f} s\n")
        show(found)
        records += found
    return records, failed


def show(records: list[Record]) -> None:
    """The records as a table."""
    table = Table("what", "way", "figure", "ratio", "target", box=None, header_style="bold")
    group = ""
    for record in records:
        told = "" if record.group == group else record.group
        group = record.group
        ratio = "" if record.ratio is None else f"{record.ratio:g}"
        table.add_row(told, record.way, f"{record.figure:g} {record.unit}", ratio, record.target)
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
