"""Tokens of params: one for equal values, another for every other value, and back again."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.property.values_of_params import EVIL, KINDS, Kind, identity, texts
from warmer.core.params import ParamType, param_type
from warmer.core.tokens import escape, escape_bytes, join_items, split_items, unescape, unescape_bytes

ALPHABET = re.compile(r"[A-Za-z0-9._~%();-]*").fullmatch
THOROUGH = settings(max_examples=150)


def typed(kind: Kind) -> ParamType:
    """The canonical type of a kind."""
    return param_type(kind.annotation, "q(param)")


@st.composite
def kinds_with_values(draw: st.DrawFn, count: int) -> tuple[Kind, list[Any]]:
    """A kind and some of its values."""
    kind = draw(KINDS)
    return kind, [draw(kind.values) for _ in range(count)]


@given(kinds_with_values(2))
@THOROUGH
def test_two_values_share_a_token_exactly_if_they_are_the_same_param(drawn: tuple[Kind, list[Any]]) -> None:
    """Tokens are injective and canonical over every supported annotation."""
    kind, (one, other) = drawn
    param = typed(kind)
    same = param.encode(param.check(one)) == param.encode(param.check(other))
    assert same == (identity(one) == identity(other))


@given(st.data())
@THOROUGH
def test_a_value_in_another_spelling_has_the_same_token(data: st.DataObject) -> None:
    """Subclasses, other zones, superfluous zeros, an int for a float: nothing changes, however deep."""
    kind = data.draw(KINDS)
    value = data.draw(kind.values)
    spelled = data.draw(kind.respelled(value))
    assume(identity(value) == identity(spelled))
    param = typed(kind)
    assert param.encode(param.check(value)) == param.encode(param.check(spelled))
    assert identity(param.check(value)) == identity(value)


@given(kinds_with_values(1))
@THOROUGH
def test_a_token_reads_back_as_the_canonical_value(drawn: tuple[Kind, list[Any]]) -> None:
    """`decode` is the inverse of `encode`, down to the types inside, and no value can imitate structure."""
    kind, (value,) = drawn
    param = typed(kind)
    canonical = param.check(value)
    token = param.encode(canonical)
    assert ALPHABET(token)
    back = param.decode(token)
    assert identity(back) == identity(canonical)
    assert repr(back) == repr(canonical)
    assert repr(param.check(canonical)) == repr(canonical)


@given(KINDS, texts())
@THOROUGH
def test_a_foreign_token_is_refused_or_is_what_encode_writes(kind: Kind, text: str) -> None:
    """No value has two tokens: what `decode` accepts is what `encode` writes."""
    param = typed(kind)
    try:
        value = param.decode(text)
    except ValueError:
        return
    assert param.encode(value) == text


@given(KINDS, st.data())
@THOROUGH
def test_a_damaged_token_never_reads_as_the_same_value(kind: Kind, data: st.DataObject) -> None:
    """One character more, less or other: it is refused or means another value."""
    param = typed(kind)
    value = data.draw(kind.values)
    token = param.encode(param.check(value))
    at = data.draw(st.integers(0, len(token)))
    change = data.draw(st.sampled_from(["", "0", "a", "A", "%", ";", "(", "~", "-"]))
    damaged = token[:at] + change + token[at + 1 :]
    assume(damaged != token)
    try:
        read = param.decode(damaged)
    except ValueError:
        return
    assert identity(read) != identity(param.check(value))


@given(texts(), texts())
@THOROUGH
def test_escaped_texts_are_equal_exactly_if_the_texts_are(one: str, other: str) -> None:
    """Escaping loses nothing: not NULs, not lone surrogates, not the difference between look-alikes."""
    assert (escape(one) == escape(other)) == (one == other)
    assert unescape(escape(one)) == one
    assert re.fullmatch(r"(?:[A-Za-z0-9._-]|%[0-9A-F]{2})*", escape(one))


@given(st.binary())
def test_escaped_bytes_read_back(data: bytes) -> None:
    """Any bytes survive."""
    assert unescape_bytes(escape_bytes(data)) == data


nested = st.recursive(
    texts().map(escape), lambda inner: st.lists(inner, max_size=4).map(join_items), max_leaves=8
)


@given(st.lists(nested, max_size=5))
def test_joined_tokens_are_split_where_they_were_joined(items: list[str]) -> None:
    """An empty token, no token at all, and tokens that are joined themselves stay apart."""
    assert split_items(join_items(items)) == items


@given(st.lists(st.sampled_from(["(", ")", ";", "a", ""]), max_size=10).map("".join))
def test_a_text_that_was_not_joined_is_not_split(text: str) -> None:
    """Splitting accepts what joining writes, and nothing else."""
    try:
        items = split_items(text)
    except ValueError:
        return
    assert join_items(items) == text


def test_the_evil_texts_have_as_many_tokens_as_there_are_texts() -> None:
    """Separators, braces, escapes, look-alikes and surrogates are all different params."""
    assert len({escape(text) for text in EVIL}) == len(set(EVIL))
