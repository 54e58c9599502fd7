"""The keys of a shard, as the code builds them, as the scripts use them and as docs/keys.md lists them."""

from __future__ import annotations

import fnmatch
import inspect
import re
from pathlib import Path

import pytest

from warmer.core.keyspace import FIXED, ShardKeys, broker_prefix, keyspace, member_lists, root_of

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "warmer" / "lua").glob("*.lua"))
COLUMNS = ["pattern", "type", "TTL", "writer", "reader", "holds"]

# What stands for each argument in docs/keys.md.
PLACEHOLDERS = {"member": "<member>", "query": "<query>", "name": "<name>", "run_id": "<run>", "day": "<day>"}

# The type of a key that a Redis command works on, where its name tells.
TYPED = {
    "hash": {
        "HGET",
        "HSET",
        "HDEL",
        "HMGET",
        "HEXISTS",
        "HINCRBY",
        "HSCAN",
        "HGETALL",
        "HKEYS",
        "HRANDFIELD",
        "HSETNX",
        "HLEN",
    },
    "zset": {
        "ZADD",
        "ZREM",
        "ZSCORE",
        "ZRANGE",
        "ZCARD",
        "ZCOUNT",
        "ZSCAN",
        "ZREMRANGEBYSCORE",
        "ZRANDMEMBER",
    },
    "set": {"SADD", "SREM", "SRANDMEMBER", "SISMEMBER", "SCARD", "SMEMBERS"},
    "list": {"LPUSH", "LTRIM", "LRANGE"},
    "string": {"GET", "SET", "GETRANGE", "SETRANGE", "INCR", "STRLEN"},
    "channel": {"PUBLISH"},
}


def rows() -> dict[str, dict[str, str]]:
    """The table of docs/keys.md, by pattern without the root."""
    lines = (ROOT / "docs" / "keys.md").read_text("utf-8").splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert table[0] == COLUMNS
    found = {}
    for cells in table[2:]:
        row = dict(zip(COLUMNS, cells, strict=True))
        pattern = row["pattern"].strip("`")
        root, _, rest = pattern.partition("}:")
        assert root == "w:{<namespace>:<shard>"
        assert rest not in found
        found[rest] = row
    return found


def built() -> dict[str, str]:
    """What ShardKeys builds: each pattern without the root, and the attribute that builds it."""
    keys = keyspace("flights", 7)
    found = {getattr(keys, name).removeprefix(keys.root): name for name in FIXED}
    for name, method in inspect.getmembers(ShardKeys, inspect.isfunction):
        if name.startswith("_"):
            continue
        (argument,) = list(inspect.signature(method).parameters)[1:]
        pattern = getattr(keys, name)("PLACE").removeprefix(keys.root)
        found[pattern.replace("PLACE", PLACEHOLDERS[argument])] = name
    return found


def test_every_key_is_documented_and_every_documented_key_is_built() -> None:
    """docs/keys.md and keyspace.py list the same patterns."""
    assert sorted(rows()) == sorted(built())


def test_every_key_begins_with_the_root_of_its_shard() -> None:
    """One hash tag a shard, and no two attributes build one key."""
    keys = keyspace("flights", 7)
    assert keys.root == "w:{flights:7}:"
    assert keyspace("flights", 7) is keys
    made = [getattr(keys, name) for name in FIXED]
    made += [keys.entry("q@1:a"), keys.index("q"), keys.versions("q"), keys.recent("q"), keys.members("t:q")]
    made += [keys.run("q"), keys.run_seen("q"), keys.handoff("q@1:a"), keys.outcomes(1)]
    assert all(key.startswith(keys.root) for key in made)
    assert len(set(made)) == len(made)


def test_names_are_escaped_where_they_are_given() -> None:
    """A namespace or a query of any name stays inside its place."""
    assert root_of("{a}:b", 0) == "w:{%7Ba%7D%3Ab:0}:"
    assert keyspace("x", 0).index("m.<locals>.q").endswith(":index:m.%3Clocals%3E.q")
    assert keyspace("x", 0).versions("a:b") != keyspace("x", 0).versions("a%3Ab")


def test_the_pattern_of_member_lists_finds_them_in_every_shard() -> None:
    """And nothing else, nor another namespace's, whatever the namespace is called."""
    for namespace in ("flights", "*", "a[b]?", "x:1"):
        pattern = member_lists(namespace)
        assert all(
            fnmatch.fnmatchcase(keyspace(namespace, shard).members("t:x"), pattern) for shard in (0, 63)
        )
        assert not fnmatch.fnmatchcase(keyspace(namespace, 0).index("members:x"), pattern)
        assert not fnmatch.fnmatchcase(keyspace(namespace + "2", 0).members("t:x"), pattern)


def test_the_brokers_keys_are_never_a_shards() -> None:
    """Celery's keys carry the namespace, too, and begin in another way than a shard's."""
    assert broker_prefix("a:{b}") == "w:broker:a%3A%7Bb%7D:"
    assert not root_of("flights", 0).startswith("w:broker:")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_uses_documented_keys_as_what_they_are(script: Path) -> None:
    """Every key that a script names is in docs/keys.md, with the type that its command works on."""
    known: dict[str, str] = {}
    for pattern, row in rows().items():
        known.setdefault(pattern.partition("<")[0], row["type"])
    text = script.read_text("utf-8")
    code = re.sub(r"--.*", "", text)
    for command, key in re.findall(r"(?:redis\.call\('(\w+)', )?root \.\. '([^']*)'", code):
        assert key in known
        if command not in ("", "EXISTS", "UNLINK", "PEXPIRE", "TYPE", "DEL"):
            assert command in TYPED[known[key]], f"{command} on {key}"


def test_the_table_names_scripts_that_there_are() -> None:
    """A writer or reader that is written like a script's name is one."""
    names = {script.stem for script in SCRIPTS}
    for pattern, row in rows().items():
        words = re.sub(r"`[^`]*`", "", " ".join([row["writer"], row["reader"], row["TTL"]]))
        assert set(re.findall(r"\b[a-z]+_[a-z]+\b", words)) <= names, pattern
