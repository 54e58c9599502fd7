"""Starting runs by hand, and finding those that there are."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from warmer.core.keys import EntryKey
from warmer.errors import ServerError, UnknownRun
from warmer.runs.records import Records
from warmer.runs.run import Progress, Run, progress_of
from warmer.runtime.process import Runtime

if TYPE_CHECKING:
    from warmer.handle import Handle
    from warmer.namespace import Warmer

_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run in a list: what it is of, when it was made, and how far it is. plan: "" for a run by hand."""

    id: str
    title: str
    plan: str
    created_at: datetime
    progress: Progress
    error: str


def start_run(runtime: Runtime, title: str, handles: Iterable[Handle[Any]]) -> Run:
    """Queue these entries as one run: each is loaded anew by a worker, once. Connects to Redis only.

    An entry that is given twice counts once. What is not kept warm is loaded and left to expire. Raises
    ServerError; what was queued by then is warmed all the same.
    """
    records = Records(runtime.store)
    run = records.start(title)
    try:
        for some in _chunked(handles):
            by_shard: dict[int, list[EntryKey]] = {}
            for handle in some:
                key = handle.entry_key
                by_shard.setdefault(key.shard, []).append(key)
            for shard, entries in by_shard.items():
                records.feed(run, shard, entries)
    except ServerError:
        raise
    except BaseException:
        records.close(run)  # the caller's own: what it gave until then is the run
        raise
    records.close(run)
    return Run(runtime, run, title)


def start_plan(namespace: Warmer, plan_name: str) -> Run:
    """Start a run of a plan now, beside its firings. Raises UnknownPlan, ServerError."""
    plan = namespace.find_plan(plan_name)
    runtime = namespace.runtime()
    title = f"plan {plan.name}, by hand"
    return Run(runtime, Records(runtime.store).start(title, plan.name), title)


def find_run(runtime: Runtime, run_id: str) -> Run:
    """The run of this id. Raises UnknownRun, ServerError."""
    return Run(runtime, run_id, Records(runtime.store).read(run_id).title)


def recent(runtime: Runtime, newest: int = 20) -> list[RunInfo]:
    """The newest runs, the newest first; a run is kept for a day after it last moved. Raises ServerError."""
    records, found = Records(runtime.store), []
    for run in records.ids(newest):
        try:
            record = records.read(run)
        except UnknownRun:
            continue  # cleared away since it was listed
        created = datetime.fromtimestamp(record.created_at / 1e6, UTC)
        progress = progress_of(record, runtime.store.now_us())
        found.append(RunInfo(run, record.title, record.plan, created, progress, record.error))
    return found


def _chunked(handles: Iterable[Handle[Any]]) -> Iterator[list[Handle[Any]]]:
    it = iter(handles)
    while some := list(itertools.islice(it, _CHUNK)):
        yield some
