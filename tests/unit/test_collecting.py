"""The collector and large values: it does not come in between, and is left as it was found."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from warmer.core.collecting import LARGE_BYTES, RUNS_IN_BETWEEN, uninterrupted
from warmer.core.values import Codec

MANY = 6000


@dataclass
class Row:
    """Something that the collector keeps track of."""

    number: int
    text: str


@pytest.fixture
def passes() -> Iterator[list[str]]:
    """What the collector does, as it says."""
    seen: list[str] = []

    def note(phase: str, _: object) -> None:
        seen.append(phase)

    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)


def test_the_collector_does_not_run_while_a_large_value_is_decoded(passes: list[str]) -> None:
    """Six thousand rows cost one look at them, afterwards."""
    codec = Codec(list[Row], "rows", compress_over_bytes=1 << 30)
    flags, stored = codec.encode([Row(n, "text") for n in range(MANY)])
    passes.clear()

    value = codec.decode(flags, stored)

    assert len(value) == MANY
    assert passes.count("start") <= 1
    assert gc.isenabled()


@pytest.mark.skipif(not RUNS_IN_BETWEEN, reason="the collector waits by itself")
def test_the_collector_is_held_for_a_call_and_left_as_it_was() -> None:
    """Also by one that fails; and where it is off, it stays off."""
    seen: list[bool] = []

    def decode(raw: bytes | bytearray | memoryview) -> int:
        seen.append(gc.isenabled())
        if not raw:
            raise ValueError("no value")
        return len(raw)

    held = uninterrupted(decode)

    assert held(b"value") == 5
    with pytest.raises(ValueError, match="no value"):
        held(b"")
    assert gc.isenabled()
    gc.disable()
    try:
        assert held(b"value") == 5
        assert not gc.isenabled()
    finally:
        gc.enable()
    assert seen == [False] * 3


def test_small_values_are_decoded_without_a_word() -> None:
    """What the collector hardly ever interrupts pays nothing for it."""
    codec = Codec(list[int], "numbers")

    assert codec.decoder_of(LARGE_BYTES - 1) is codec.decoder_of(10)
    assert (codec.decoder_of(LARGE_BYTES) is codec.decoder_of(10)) is not RUNS_IN_BETWEEN
