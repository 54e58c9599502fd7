"""The atomic operations of a shard, one Lua file each; `_`-files are shared text that others open with."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

_SHARED = {
    "claim": ("_heat.lua",),
    "commit": ("_heat.lua", "_barred.lua"),
    "fail": ("_heat.lua",),
    "reap": ("_heat.lua",),
    "revive": ("_heat.lua",),
    "tally": ("_heat.lua",),
    "acquire": ("_barred.lua",),
    "raise_barrier": ("_fence.lua", "_remove.lua"),
    "lower_barrier": ("_fence.lua",),
    "apply": ("_fence.lua", "_remove.lua"),
    "remove": ("_remove.lua",),
    "invalidate": ("_fence.lua", "_remove.lua"),
    "put": ("_fence.lua", "_remove.lua"),
    "stamp": ("_fence.lua",),
    "fire": ("_run.lua",),
    "start_run": ("_run.lua",),
}

# What ends something must work on a server that is full, an invalidation above all. They write a few bytes.
_DESPITE_FULL_MEMORY = frozenset(
    {
        "apply",
        "carry_on",
        "extend",
        "fail",
        "invalidate",
        "lower_barrier",
        "put",
        "raise_barrier",
        "release",
        "remove",
        "say_through",
        "settle",
        "stamp",
        "take_over",
        "unclaim",
    }
)

#: What asks the server itself who it is: their last argument is what the connection learned of that.
TELLS_SERVER = frozenset({"settle"})


@cache
def source(name: str) -> str:
    """The whole text of script `name`: the shared opening, then the file itself."""
    room = files(__name__)
    flags = "#!lua flags=allow-oom\n" if name in _DESPITE_FULL_MEMORY else ""
    parts = ("_prelude.lua", *_SHARED.get(name, ()), f"{name}.lua")
    return flags + "\n".join((room / part).read_text("utf-8") for part in parts)


@cache
def sha1(name: str) -> str:
    """What EVALSHA calls script `name` by."""
    return hashlib.sha1(source(name).encode(), usedforsecurity=False).hexdigest()
