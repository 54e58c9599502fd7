"""Which entries an audit looks at: each entry of the chosen queries is as likely as any other."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from warmer.core.keys import EntryKey, keyspace
from warmer.core.members import split_member
from warmer.reading import Args, Reading
from warmer.store.operations import Store


@dataclass(frozen=True, slots=True)
class Sample:
    """One entry. args: its canonical arguments."""

    reading: Reading[Any]
    entry: EntryKey
    args: Args

    @property
    def at(self) -> tuple[int, str]:
        """What tells it from every other."""
        return self.entry.shard, self.entry.member


class Sampler:
    """Draws entries of this process's versions of some queries, stored or not."""

    def __init__(self, store: Store, readings: Sequence[Reading[Any]], dice: random.Random) -> None:
        self._store, self._dice = store, dice
        self._readings: Mapping[str, Reading[Any]] = {reading.name: reading for reading in readings}

    def draw(self) -> Sample | None:
        """An entry; None if there is none, or what was drawn is of another version or just cleared away."""
        places = [(name, shard) for name in self._readings for shard in range(self._store.settings.shards)]
        sizes = [self._store.command("ZCARD", self._index(*place)) for place in places]
        if not any(sizes):
            return None
        name, shard = self._dice.choices(places, weights=sizes)[0]
        drawn = self._store.command("ZRANDMEMBER", self._index(name, shard))
        return None if drawn is None else self._sample(name, shard, drawn.decode())

    def _index(self, query: str, shard: int) -> str:
        return keyspace(self._store.namespace, shard).index(query)

    def _sample(self, name: str, shard: int, member: str) -> Sample | None:
        reading = self._readings[name]
        _, version, tail = split_member(member)
        if version != reading.keys.version:
            return None
        known = self._store.params_of(shard, [member]) if tail.startswith("#") else {}
        if tail.startswith("#") and member not in known:
            return None
        entry = reading.keys.from_member(member, known.get(member))
        params = reading.keys.params_of(entry.params)
        return Sample(reading, entry, tuple(params[param] for param in reading.keys.names))
