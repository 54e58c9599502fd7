"""Where what was declared falls short of what is read, and of what is invalidated."""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any, Literal

from warmer.core.names import tag_name
from warmer.found.evidence import Evidence, gather, has_members
from warmer.found.listening import listen
from warmer.found.observing import Observed, observe
from warmer.reading import Reading
from warmer.runtime.process import Runtime

Kind = Literal[
    "not_declared", "declared_too_narrow", "text", "never_invalidated", "tag_never_invalidated",
    "matches_nothing", "params_left_out",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Gap:
    """One gap. query: "" where it is no single query's."""

    kind: Kind
    query: str
    told: str


@dataclass(frozen=True, slots=True)
class QueryAudit:
    """One query: what it declares, and what its loads read (see Observed)."""

    query: str
    declared: dict[str, list[str]]
    automatic: bool
    tags: tuple[str, ...]
    scope: str | None
    observed: Observed


@dataclass(frozen=True, slots=True)
class AuditReport:
    """All queries, and their gaps."""

    queries: tuple[QueryAudit, ...]
    gaps: tuple[Gap, ...]


def audit(
    runtime: Runtime,
    readings: Sequence[Reading[Any]],
    samples: int,
    dice: random.Random,
    watched: Collection[str] = (),
) -> AuditReport:
    """Hold each query's declaration against some of its loads and against the fence. Raises ServerError.

    watched: tables of which triggers tell, whether or not anything has changed in them yet.
    """
    listen()
    evidence = gather(runtime.store)
    audits, gaps = [], list[Gap]()
    for reading in readings:
        observed = observe(runtime, reading, samples, dice)
        audits.append(_told(reading, observed))
        gaps += unread(reading, observed)
        gaps += uninvalidated(reading, evidence, watched)
        gaps += left_out(runtime, reading, evidence)
    for tag in sorted(evidence.tags):
        known = any(_pattern(tag_of).fullmatch(tag) for r in readings for tag_of in r.dependencies.tags)
        if not known and not has_members(runtime.store, tag_name(tag)):
            told = f"the tag {tag!r} was invalidated: no query declares it, and no entry stands under it"
            gaps.append(Gap("matches_nothing", "", told))
    return AuditReport(tuple(audits), tuple(gaps))


def unread(reading: Reading[Any], observed: Observed) -> Iterator[Gap]:
    """Tables that are read but not depended on, or not in the way they are read."""
    dependencies = reading.dependencies
    yield from (Gap("text", reading.name, f"its loads run SQL text: {one}") for one in observed.unknown)
    if dependencies.auto:
        return
    for table, ways in observed.tables.items():
        shapes = [shape for name, shape in dependencies.shapes if name == table]
        if table in dependencies.tables:
            continue
        if not shapes:
            yield Gap("not_declared", reading.name, f"its loads read {table}, and it does not depend on it")
            continue
        for way in ways:
            if not any(shape.keys() <= way.keys() for shape in shapes):
                declared = " or ".join(", ".join(shape) for shape in shapes)
                read = f"by {', '.join(way)}" if way else "whatever its rows are"
                told = f"it depends on {table} by {declared}, and its loads read it {read}"
                yield Gap("declared_too_narrow", reading.name, told)


def uninvalidated(reading: Reading[Any], evidence: Evidence, watched: Collection[str] = ()) -> Iterator[Gap]:
    """Queries and tags that nothing has invalidated, as far as the fence goes back, and nothing would."""
    dependencies, name = reading.dependencies, reading.name
    direct = name in evidence.queries or bool(evidence.entries.get(name))
    tables = {*dependencies.tables, *(table for table, _ in dependencies.shapes)}
    hit = {tag for tag in dependencies.tags if any(map(_pattern(tag).fullmatch, evidence.tags))}
    for tag in dependencies.tags:
        if tag not in hit:
            yield Gap("tag_never_invalidated", name, f"nobody has invalidated its tag {tag!r}")
    kept = tables & evidence.tables or not tables.isdisjoint(watched)
    if not direct and not hit and not kept and dependencies.scope not in evidence.owners:
        told = "nothing has invalidated it: not by itself, nor by a tag, an owner or a table of its own"
        yield Gap("never_invalidated", name, told)


def left_out(runtime: Runtime, reading: Reading[Any], evidence: Evidence) -> Iterator[Gap]:
    """Params that every invalidation of an entry left at their default, while there are other entries."""
    if reading.name in evidence.queries:
        return
    tails = [tail.split(",") for tail in evidence.entries.get(reading.name, ()) if not tail.startswith("#")]
    for place, param in enumerate(reading.keys.signature.parameters.values()):
        if not tails or param.default is param.empty:
            continue
        default = reading.keys.partial(**{param.name: param.default})[param.name]
        if any(len(tail) != len(reading.keys.names) or tail[place] != default for tail in tails):
            continue
        if _has_others(runtime, reading, place, default):
            told = f"invalidations of its entries leave {param.name} at its default, and there are others"
            yield Gap("params_left_out", reading.name, told)


def _has_others(runtime: Runtime, reading: Reading[Any], place: int, default: str) -> bool:
    """Among the first entries of each shard; those with long params are passed over."""
    for shard in range(runtime.store.settings.shards):
        for page in runtime.store.indexed(shard, reading.name):
            tails = [member.partition(":")[2].split(",") for member in page if ":#" not in member]
            if any(len(tail) > place and tail[place] != default for tail in tails):
                return True
            break
    return False


def _pattern(tag: str) -> re.Pattern[str]:
    parts = [re.escape(text) + ("" if name is None else ".*") for text, name, _, _ in Formatter().parse(tag)]
    return re.compile("".join(parts), re.DOTALL)


def _told(reading: Reading[Any], observed: Observed) -> QueryAudit:
    dependencies = reading.dependencies
    declared: dict[str, list[str]] = {table: [] for table in dependencies.tables}
    declared |= {table: list(shape) for table, shape in dependencies.shapes}
    return QueryAudit(
        reading.name, declared, dependencies.auto, dependencies.tags, dependencies.scope, observed
    )
