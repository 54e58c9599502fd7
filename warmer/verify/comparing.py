"""One entry held against a load of its own."""

from __future__ import annotations

from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any

from warmer.core.header import HEADER_SIZE, INVALIDATED, Header
from warmer.errors import WarmerError
from warmer.runtime.loads import LoadThread, run_load
from warmer.runtime.process import Runtime
from warmer.verify.sampling import Sample


@dataclass(frozen=True, slots=True)
class Served:
    """What readers are given for an entry at present."""

    stamp: int
    flags: int
    payload: bytes


class NotLoaded(Exception):
    """The load to compare with failed or took too long; the message names its cause."""


def served(runtime: Runtime, sample: Sample) -> Served | None:
    """What is served; None if nothing is, or only what is known to be old (`stale_after_write`)."""
    blob, life = runtime.store.get(sample.entry.key.encode())
    header = Header.read(blob) if blob is not None else None
    if blob is None or header is None or header.life != life or header.flags & INVALIDATED:
        return None
    if not runtime.store.now_us() < header.grace_until:
        return None
    return Served(int(header.stamp), header.flags, blob[HEADER_SIZE:])


def agrees(runtime: Runtime, sample: Sample, found: Served) -> bool:
    """Whether a load that begins now gives the same value. Raises NotLoaded, CorruptEntry.

    The load begins after the entry was read, so its snapshot is no older than the entry's.
    """
    value = _load(runtime, sample)
    try:
        flags, payload = sample.reading.encode(value, sample.entry, sample.reading.params(sample.args))
    except WarmerError as error:
        raise NotLoaded(f"what was loaded can't be stored: {error}") from error
    if payload == found.payload:
        return True
    # Equal values may be written in another order, as sets are, and no two seals are equal.
    reading, key = sample.reading, sample.entry.key.encode()
    seal = reading.seal_of(key, reading.owner_of(reading.params(sample.args)))
    codec = reading.codec
    return bool(codec.decode(found.flags, found.payload, 0, seal) == codec.decode(flags, payload, 0, seal))


def _load(runtime: Runtime, sample: Sample) -> Any:
    """The value, loaded as every load is: on a thread of its own, in an empty context."""
    reading, loaded = sample.reading, Future[Any]()
    timeout_s = reading.options.timeout_s

    def call() -> Any:
        return reading.call(reading.params(sample.args))

    def work() -> None:
        try:
            loaded.set_result(run_load(call, runtime.around_load, runtime.load_loop, timeout_s).value)
        except BaseException as error:  # noqa: BLE001 - whatever a user's function raises is told
            loaded.set_exception(error)

    LoadThread(f"verify-{reading.name}", work).start()
    if wait([loaded], timeout_s).not_done:
        raise NotLoaded(f"its load took more than {timeout_s:g} s")
    error = loaded.exception()
    if error is not None:
        raise NotLoaded(f"its load failed: {type(error).__name__}: {error}") from error
    return loaded.result()
