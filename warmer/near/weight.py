"""How many bytes of memory a decoded value takes, about: what the bound on near copies counts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import is_dataclass
from enum import Enum
from itertools import islice
from typing import Any

from msgspec import Struct

# So many items of a long sequence stand for all of it: rows of one query are alike. Inner ones get fewer, so
# that weighing costs no more than a part of decoding.
SAMPLE = 32


def weigh(value: Any, sample: int = SAMPLE) -> int:
    """The bytes of a value and all it holds, about; what every value shares counts for none."""
    if value is None or isinstance(value, (bool, Enum)):
        return 0
    weight = sys.getsizeof(value)
    if isinstance(value, (tuple, frozenset, list, set, dict)):
        some: list[Any] = list(islice(value, sample))
        inside = [*some, *(value[key] for key in some)] if isinstance(value, dict) else some
        if some:
            weight += sum(weigh(item, max(4, sample // 4)) for item in inside) * len(value) // len(some)
        return weight
    for field in _fields(value):
        weight += weigh(field, max(4, sample // 4))
    return weight


def _fields(value: Any) -> Iterator[Any]:
    if isinstance(value, Struct):
        yield from (getattr(value, name) for name in value.__struct_fields__)
    elif is_dataclass(value):
        yield from (getattr(value, name) for name in value.__dataclass_fields__)
