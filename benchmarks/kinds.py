"""What the type of its rows costs a reader: the same 5 KB as rows of four types, and redis-py with each."""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import msgspec
import redis

from benchmarks.rounds import SIZES, Record, Row, calls_for, compared, encoded, interleaved
from warmer import Query, Warmer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Slotted:
    """The row as a dataclass with slots."""

    number: int
    carrier: str
    delay: float


class Struct(msgspec.Struct, frozen=True):
    """The row as msgspec makes it quickest."""

    number: int
    carrier: str
    delay: float


def measure(shop: Warmer, client: redis.Redis, where: str, target: str) -> list[Record]:
    """Hits by type of row, all in the same rounds; each pair has its own ratio."""
    count, ways = SIZES["5 KB"], dict[str, Callable[[], object]]()
    client.set("bare:kinds", encoded(count))
    kinds = _queries(shop)
    for kind, (query, row) in kinds.items():
        query(count)
        ways[f"redis-py, {kind}"] = partial(_bare, client, _decoder(row))
        ways[f"warmer, {kind}"] = partial(query, count)
    records: list[Record] = []
    medians = interleaved(ways, calls_for(count))
    for kind in kinds:
        pair = {way: medians[way] for way in (f"redis-py, {kind}", f"warmer, {kind}")}
        records += compared(f"hit, 5 KB, by type of row{where}", pair, {f"warmer, {kind}": target})
    return records


def _queries(shop: Warmer) -> dict[str, tuple[Query[[int], Any], type[Any]]]:
    @shop.cached(ttl=600, name="dataclasses", version="1")
    def dataclasses(count: int) -> list[Row]:
        return _rows(Row, count)

    @shop.cached(ttl=600, name="dicts", version="1")
    def dicts(count: int) -> list[dict[str, Any]]:
        return _rows(dict, count)

    @shop.cached(ttl=600, name="slotted", version="1")
    def slotted(count: int) -> list[Slotted]:
        return _rows(Slotted, count)

    @shop.cached(ttl=600, name="structs", version="1")
    def structs(count: int) -> list[Struct]:
        return _rows(Struct, count)

    return {
        "dataclasses": (dataclasses, Row), "dicts": (dicts, dict),
        "dataclasses with slots": (slotted, Slotted), "msgspec.Structs": (structs, Struct),
    }  # fmt: skip


def _rows(row: type[T], count: int) -> list[T]:
    made: list[T] = _decoder(row)(encoded(count))
    return made


def _decoder(row: type[Any]) -> Callable[[Any], Any]:
    return msgspec.msgpack.Decoder(types.GenericAlias(list, row)).decode


def _bare(client: redis.Redis, decode: Callable[[Any], object]) -> object:
    return decode(client.get("bare:kinds"))
