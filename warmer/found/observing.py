"""What a query's loads read, found by running some of them again. Nothing of it is stored."""

from __future__ import annotations

import random
from collections.abc import Iterable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import Any

from warmer.core.names import is_tag, tag_of
from warmer.core.tokens import unescape
from warmer.errors import mask
from warmer.found.naming import matched
from warmer.found.outcomes import family
from warmer.found.reads import Reads
from warmer.reading import Reading
from warmer.runtime.loads import Loaded, LoadThread, run_load
from warmer.runtime.modes import past
from warmer.runtime.process import Runtime
from warmer.verify.sampling import Sample, Sampler


@dataclass(slots=True)
class Observed:
    """What loads of one query have read.

    tables: by table, each way in which its rows were chosen: the columns that equal a param, with that; {}
    for any row. unknown: statements of which nobody can tell what they read. failures: loads that failed.
    inner: tables that cached queries inside them depend on, which counts for the outer value. tags: those
    that they gave themselves (`flights.tag`), by what comes before the first ":".
    """

    loads: int = 0
    tables: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    inner: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)


def observe(runtime: Runtime, reading: Reading[Any], samples: int, dice: random.Random) -> Observed:
    """Run the loads of so many of its entries, drawn by chance. Raises ServerError."""
    sampler, observed = Sampler(runtime.store, [reading], dice), Observed()
    drawn: dict[tuple[int, str], Sample] = {}
    for _ in range(3 * samples):
        sample = sampler.draw()
        if sample is not None and len(drawn) < samples:
            drawn[sample.at] = sample
    for sample in drawn.values():
        _load(runtime, sample, observed)
    return observed


def _load(runtime: Runtime, sample: Sample, observed: Observed) -> None:
    reading, done = sample.reading, Future[Loaded]()
    params, timeout_s = reading.params(sample.args), reading.options.timeout_s
    reads = Reads()

    def call() -> Any:
        mode = past.get()
        assert mode is not None
        mode.reads = reads
        return reading.call(params)

    def work() -> None:
        try:
            done.set_result(run_load(call, runtime.around_load, runtime.load_loop, timeout_s))
        except BaseException as error:  # noqa: BLE001 - whatever a user's function raises is told
            done.set_exception(error)

    LoadThread(f"audit-{reading.name}", work).start()
    if wait([done], timeout_s).not_done:
        observed.failures.append(f"a load took more than {timeout_s:g} s")
        return
    error = done.exception()
    if error is not None:
        observed.failures.append(mask(f"{type(error).__name__}: {error}", 300))
        return
    observed.loads += 1
    _note_found(done.result().found, reading, observed)
    for read in reads.all():
        ways = observed.tables.setdefault(read.name, [])
        way = matched(reading.dependencies.types, params, read)
        if way not in ways:
            ways.append(way)
    observed.unknown = list(dict.fromkeys([*observed.unknown, *reads.unknown]))


def _note_found(found: Iterable[str], reading: Reading[Any], observed: Observed) -> None:
    """What a load stands under beyond what its query declares."""
    inner = {unescape(name[2:].partition(":")[0]) for name in found if name[:2] in ("t:", "c:", "a:")}
    tags = {family(tag_of(name)) for name in found if is_tag(name)}
    observed.inner = sorted({*observed.inner, *inner})
    observed.tags = sorted({*observed.tags, *tags} - {family(tag) for tag in reading.dependencies.tags})
