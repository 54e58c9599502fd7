"""Where what was declared falls short of what is read, and of what is invalidated."""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any, Final, Literal

from warmer.core.names import tag_name
from warmer.found.evidence import Evidence, gather, has_members
from warmer.found.listening import listen
from warmer.found.observing import Observed, observe
from warmer.found.outcomes import Outcome, entry_of, family, query_of, recorded
from warmer.reading import Reading
from warmer.runtime.process import Runtime

#: Tags of one family of which it is asked whether an entry stands under them.
_LOOKED_UP: Final = 20

#: Whoever is invalidated may just not be cached at that moment: so many in a row are no chance.
_FUTILE_FROM: Final = 10
#: Transactions that change rows of which nobody has read the entries are nothing unusual.
_FUTILE_CHANGES: Final = 200

Kind = Literal[
    "not_declared", "declared_too_narrow", "text", "never_invalidated", "tag_never_invalidated",
    "matches_nothing", "params_left_out", "drops_nothing",
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
    runtime.outcomes.flush()
    evidence, outcomes = gather(runtime.store), recorded(runtime.store)
    audits, gaps, tags = [], list[Gap](), set[str]()
    for reading in readings:
        observed = observe(runtime, reading, samples, dice)
        audits.append(_told(reading, observed))
        gaps += unread(reading, observed)
        gaps += uninvalidated(reading, evidence, observed.tags, watched)
        gaps += left_out(runtime, reading, evidence, outcomes)
        gaps += futile(runtime, reading, outcomes)
        tags.update(observed.tags)
    gaps += unmatched_tags(runtime, readings, evidence, tags)
    return AuditReport(tuple(audits), tuple(gaps))


def unread(reading: Reading[Any], observed: Observed) -> Iterator[Gap]:
    """Tables that are read but not depended on, or not in the way they are read.

    Where loads tag their values themselves, a table may stand behind these tags: nobody can tell.
    """
    dependencies = reading.dependencies
    yield from (Gap("text", reading.name, f"its loads run SQL text: {one}") for one in observed.unknown)
    if dependencies.auto:
        return
    for table, ways in observed.tables.items():
        shapes = [shape for name, shape in dependencies.shapes if name == table]
        if table in dependencies.tables:
            continue
        if not shapes and (table in observed.inner or observed.tags):
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


def uninvalidated(
    reading: Reading[Any], evidence: Evidence, tags: Iterable[str] = (), watched: Collection[str] = ()
) -> Iterator[Gap]:
    """Queries and tags that nothing has invalidated, as far as the fence goes back, and nothing would.

    tags: of its loads' own, by family. watched: tables of which triggers tell.
    """
    dependencies, name = reading.dependencies, reading.name
    direct = name in evidence.queries or bool(evidence.entries.get(name))
    tables = {*dependencies.tables, *(table for table, _ in dependencies.shapes)}
    hit = {tag for tag in dependencies.tags if any(map(_pattern(tag).fullmatch, evidence.tags))}
    for tag in dependencies.tags:
        if tag not in hit:
            yield Gap("tag_never_invalidated", name, f"nobody has invalidated its tag {tag!r}")
    own = {one for one in tags if any(family(tag) == one for tag in evidence.tags)}
    for one in sorted({*tags} - own):
        told = f"its loads tag it {one + ':...'!r}, and nobody has invalidated such a tag"
        yield Gap("tag_never_invalidated", name, told)
    if (
        not direct
        and not hit
        and not own
        and not tables & evidence.tables
        and tables.isdisjoint(watched)
        and dependencies.scope not in evidence.owners
    ):
        told = "nothing has invalidated it: not by itself, nor by a tag, an owner or a table of its own"
        yield Gap("never_invalidated", name, told)


def unmatched_tags(
    runtime: Runtime, readings: Sequence[Reading[Any]], evidence: Evidence, own: Collection[str]
) -> Iterator[Gap]:
    """Tags that were invalidated, of families that no query has. own: those that loads gave themselves."""
    patterns = [_pattern(tag) for reading in readings for tag in reading.dependencies.tags]
    unknown: dict[str, list[str]] = {}
    for tag in sorted(evidence.tags):
        if family(tag) not in own and not any(pattern.fullmatch(tag) for pattern in patterns):
            unknown.setdefault(family(tag), []).append(tag)
    for tags in unknown.values():
        if not any(has_members(runtime.store, tag_name(tag)) for tag in tags[:_LOOKED_UP]):
            few = ", ".join(repr(tag) for tag in tags[:3]) + (", ..." if len(tags) > 3 else "")
            told = f"tags were invalidated that no query declares and no entry stands under: {few}"
            yield Gap("matches_nothing", "", told)


def left_out(
    runtime: Runtime, reading: Reading[Any], evidence: Evidence, outcomes: Mapping[str, Outcome]
) -> Iterator[Gap]:
    """Params that every invalidation, by entry or by part, left at their default, while there are others."""
    ours = f"part:{reading.name}:"
    parts = [set(what.removeprefix(ours).split(",")) for what in outcomes if what.startswith(ours)]
    if reading.name in evidence.queries and (not parts or query_of(reading.name) in outcomes):
        return
    tails = [tail.split(",") for tail in evidence.entries.get(reading.name, ()) if not tail.startswith("#")]
    for place, default in reading.keys.defaults().items():
        if not tails and not parts:
            continue
        if any(len(tail) != len(reading.keys.names) or tail[place] != default for tail in tails):
            continue
        if all(f"{place}=" in part for part in parts) and _has_others(runtime, reading, place, default):
            param = reading.keys.names[place]
            told = f"invalidations of its entries leave {param} at its default, and there are others"
            yield Gap("params_left_out", reading.name, told)


def futile(runtime: Runtime, reading: Reading[Any], outcomes: Mapping[str, Outcome]) -> Iterator[Gap]:
    """Kinds of invalidations of a query that never dropped anything, though it has entries."""
    name, depends = reading.name, reading.dependencies
    kinds = {entry_of(name): "of single entries", query_of(name): "of all of them"}
    kinds |= {what: "by some of their params" for what in outcomes if what.startswith(f"part:{name}:")}
    kinds |= {f"tag:{family(tag)}": f"by its tag {tag!r}" for tag in depends.tags}
    if depends.scope is not None:
        kinds[f"owner:{depends.scope}"] = f"by {depends.scope}"
    tables = dict.fromkeys((*depends.tables, *(table for table, _ in depends.shapes)))
    kinds |= {f"table:{table}": f"by changes of {table}" for table in tables}
    for what, said in kinds.items():
        outcome = outcomes.get(what, Outcome())
        least = _FUTILE_CHANGES if what.startswith("table:") else _FUTILE_FROM
        if outcome.made >= least and not outcome.dropped and _has_entries(runtime, name):
            told = f"{outcome.made} invalidations {said} have dropped nothing, and it has entries"
            yield Gap("drops_nothing", name, told)


def _has_entries(runtime: Runtime, query: str) -> bool:
    shards = range(runtime.store.settings.shards)
    return any(page for shard in shards for page in runtime.store.indexed(shard, query))


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
