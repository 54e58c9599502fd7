"""Keys of whole calls: one for each set of params, however the call is written, and back to the params."""

from __future__ import annotations

import hashlib
import re
from inspect import Parameter, Signature
from typing import Any
from zlib import crc32

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.property.values_of_params import KINDS, SIMPLE, Kind, identity, texts
from warmer.core.keys import KeyFactory, keyspace, parse
from warmer.core.params import param_type
from warmer.core.tokens import escape
from warmer.errors import KeyDigested, NotAKey

THOROUGH = settings(max_examples=100)
MEMBER = re.compile(r"[A-Za-z0-9._%-]+@[A-Za-z0-9._%-]+:([A-Za-z0-9._~%();,-]*|#[0-9a-f]{40})").fullmatch

# Names that the compiled builder uses itself, names of builtins, and one that Python normalises.
NAMES = [
    "a0",
    "args",
    "kwargs",
    "key",
    "token",
    "type",
    "str",
    "int",
    "len",
    "escape",
    "default0",
    "bind",
    "match",
    "é",
]
PLACES = [Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY]

# Short enough for a key, however they are escaped.
queries = texts().map(lambda text: text[:8] or "q")
versions = texts().map(lambda text: text[:2] or "1")


def factory(
    kinds: list[Kind],
    *,
    names: list[str] | None = None,
    places: list[Any] | None = None,
    shards: int = 1,
    query: str = "tasks.flights.delays",
    version: str = "1",
) -> KeyFactory:
    """A factory of a query with params of these kinds."""
    names = names or NAMES[: len(kinds)]
    places = places or [Parameter.POSITIONAL_OR_KEYWORD] * len(kinds)
    parameters = [Parameter(name, place) for name, place in zip(names, places, strict=True)]
    types = {name: param_type(kind.annotation, f"q({name})") for name, kind in zip(names, kinds, strict=True)}
    return KeyFactory("flights", shards, query, version, Signature(parameters), types)


def expected(keys: KeyFactory, args: tuple[Any, ...], longest: int) -> tuple[bytes, tuple[Any, ...]]:
    """What `key_of` must give, by the param types alone and by the format as docs/keys.md states it."""
    types = [keys.types[name] for name in keys.names]
    canonical = tuple(kind.check(value) for kind, value in zip(types, args, strict=True))
    tokens = ",".join(kind.encode(value) for kind, value in zip(types, canonical, strict=True))
    shard = crc32(f"{escape(keys.query)}:{tokens}".encode()) % keys.shards
    tail = (
        tokens
        if len(tokens) <= longest
        else "#" + hashlib.blake2b(tokens.encode(), digest_size=20).hexdigest()
    )
    member = f"{escape(keys.query)}@{escape(keys.version)}:{tail}"
    return (keyspace(keys.namespace, shard).root + "e:" + member).encode(), canonical


def room(keys: KeyFactory) -> int:
    """How many bytes of tokens fit: 250, less 32 for a version, less what else is in the key."""
    widest = len(keyspace(keys.namespace, keys.shards - 1).root)
    return 250 - 32 - widest - len("e:") - len(escape(keys.query)) - len("@:")


@st.composite
def calls(draw: st.DrawFn, kinds: st.SearchStrategy[Kind] = KINDS) -> tuple[list[Kind], list[Any]]:
    """Kinds of params, and a value for each: one in three in an unusual spelling."""
    drawn = draw(st.lists(kinds, max_size=4))
    values = [draw(kind.values) for kind in drawn]
    spelled = [kind.respelled(value) for kind, value in zip(drawn, values, strict=True)]
    return drawn, [draw(st.one_of(st.just(v), st.just(v), s)) for v, s in zip(values, spelled, strict=True)]


@given(st.one_of(calls(st.sampled_from(SIMPLE)), calls()), st.sampled_from([1, 2, 64, 1000]))
@settings(THOROUGH, max_examples=200)
def test_the_compiled_builder_gives_what_the_param_types_give(
    call: tuple[list[Kind], list[Any]], shards: int
) -> None:
    """The inlined fast path and the param types never differ, in the key or in the canonical arguments."""
    kinds, args = call
    keys = factory(kinds, shards=shards)
    key, canonical = keys.key_of(*args)
    want, plain = expected(keys, tuple(args), room(keys))
    assert key == want
    assert repr(canonical) == repr(plain)
    assert [type(value) for value in canonical] == [type(value) for value in plain]
    assert keys.key_from(tuple(args), {}) == (key, canonical)
    assert keys.entry(*args).key == key.decode()


@given(st.data())
@THOROUGH
def test_however_a_call_is_written_it_has_one_key(data: st.DataObject) -> None:
    """Positional, keyword and default arguments, in whichever spelling and whatever params are called."""
    kinds = data.draw(st.lists(KINDS, min_size=1, max_size=4))
    values = [data.draw(kind.values) for kind in kinds]
    names = data.draw(st.permutations(NAMES))[: len(kinds)]
    places = sorted(data.draw(st.lists(st.sampled_from(PLACES), min_size=len(kinds), max_size=len(kinds))))
    plain = factory(kinds, names=names, places=places)
    args, kwargs = plain.call(tuple(values))
    key = plain.key_of(*args, **kwargs)
    spelled = [data.draw(kind.respelled(value)) for kind, value in zip(kinds, values, strict=True)]
    assume([identity(value) for value in values] == [identity(value) for value in spelled])
    by_place, by_name = plain.call(tuple(spelled))
    movable = [at for at in range(len(by_place)) if places[at] is not Parameter.POSITIONAL_ONLY]
    moved = data.draw(st.integers(0, len(movable)))
    kept = len(by_place) - moved
    by_name |= dict(zip(names[kept : len(by_place)], by_place[kept:], strict=True))
    shuffled = dict(data.draw(st.permutations(sorted(by_name.items()))))
    assert repr(plain.key_of(*by_place[:kept], **shuffled)) == repr(key)
    with_defaults = KeyFactory(
        "flights",
        1,
        plain.query,
        plain.version,
        Signature(
            [p.replace(default=v) for p, v in zip(plain.signature.parameters.values(), spelled, strict=True)]
        ),
        plain.types,
    )
    assert repr(with_defaults.key_of()) == repr(key)


@given(st.data())
@THOROUGH
def test_two_calls_share_a_key_exactly_if_their_params_are_the_same(data: st.DataObject) -> None:
    """Keys are injective over whole calls: no value can reach over into its neighbour's token."""
    kinds, one = data.draw(calls())
    other = [
        data.draw(st.one_of(st.just(value), kind.respelled(value), kind.values))
        for kind, value in zip(kinds, one, strict=True)
    ]
    keys = factory(kinds)
    same = [identity(value) for value in one] == [identity(value) for value in other]
    assert (keys.key_of(*one)[0] == keys.key_of(*other)[0]) == same


@given(st.lists(texts(), max_size=3), st.lists(texts(), max_size=3), st.booleans())
@THOROUGH
def test_texts_side_by_side_never_run_into_each_other(one: list[str], other: list[str], swap: bool) -> None:
    """Separators inside a text and separators between texts are never confused."""
    if swap:
        other = [",".join(one), *one[1:]][: len(one)]
    assume(len(one) == len(other))
    kinds = [Kind(str, st.text(), st.just, "text")] * len(one)
    keys = factory(kinds)
    assert (keys.key_of(*one)[0] == keys.key_of(*other)[0]) == (one == other)


@given(calls(), st.sampled_from([1, 64]), queries, versions)
@THOROUGH
def test_a_key_reads_back_as_its_query_and_params(
    call: tuple[list[Kind], list[Any]], shards: int, query: str, version: str
) -> None:
    """`parse` and `params_of` undo `entry`, so scheduler and worker need no other record."""
    kinds, args = call
    keys = factory(kinds, shards=shards, query=query, version=version)
    entry = keys.entry(*args)
    assert parse(entry.key, entry.params) == (query, version, entry.params)
    params = keys.params_of(entry.params)
    assert repr(list(params.values())) == repr(list(keys.key_of(*args)[1]))
    assert keys.tokens(params) == entry.params
    assert keys.from_member(entry.member, entry.params) == entry
    assert len(entry.key) <= 250
    assert MEMBER(entry.member)
    assert entry.key == f"w:{{flights:{entry.shard}}}:e:{entry.member}"


@given(calls(), st.integers(1, 1000), versions, versions)
@THOROUGH
def test_versions_of_a_query_name_an_entry_alike(
    call: tuple[list[Kind], list[Any]], shards: int, one: str, other: str
) -> None:
    """Shard, digest and tail do not depend on the version, so a new process finds an old one's entries."""
    kinds, args = call
    old = factory(kinds, shards=shards, version=one).entry(*args)
    new = factory(kinds, shards=shards, version=other).entry(*args)
    assert (old.shard, old.tail, old.params) == (new.shard, new.tail, new.params)
    assert 0 <= old.shard < shards
    assert (old.key == new.key) == (one == other)


@given(st.lists(texts().map(lambda text: text * 60), min_size=2, max_size=5, unique=True))
@THOROUGH
def test_long_params_get_distinct_digests_within_250_bytes(values: list[str]) -> None:
    """However long a value is, its key is short, and no other value has it."""
    keys = factory([Kind(str, st.text(), st.just, "text")])
    made = [keys.key_of(value)[0] for value in values]
    assert len(set(made)) == len(values)
    assert max(map(len, made)) <= 250


@given(st.data())
@THOROUGH
def test_a_partial_matches_exactly_the_entries_with_these_params(data: st.DataObject) -> None:
    """`matches` agrees with comparing the params themselves."""
    kinds = data.draw(st.lists(KINDS, min_size=1, max_size=3))
    values = [data.draw(kind.values) for kind in kinds]
    asked = {
        at: data.draw(st.one_of(kinds[at].values, kinds[at].respelled(values[at])))
        for at in data.draw(st.sets(st.integers(0, len(kinds) - 1)))
    }
    keys = factory(kinds)
    partial = keys.partial(**{keys.names[at]: value for at, value in asked.items()})
    same = all(identity(values[at]) == identity(value) for at, value in asked.items())
    assert keys.matches(keys.entry(*values).params, partial) == same


@given(texts())
def test_a_text_is_a_key_only_if_it_reads_back_as_itself(text: str) -> None:
    """`parse` never takes a foreign text for an entry's key."""
    for key in (text, f"w:{{a:0}}:e:{text}", f"w:{{a:0}}:e:q@1:{text}", f"w:{{{text}:0}}:e:q@1:x"):
        try:
            query, version, tokens = parse(key)
        except (NotAKey, KeyDigested):
            continue
        assert key.endswith(f":e:{escape(query)}@{escape(version)}:{tokens}")
