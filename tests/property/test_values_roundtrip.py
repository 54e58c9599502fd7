"""Whatever a query is annotated with: its values come back as they were, and no other values get in."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from tests.property.value_types import KINDS, Kind, annotated_values, changeable, generic, same
from warmer.core.collecting import LARGE_BYTES
from warmer.core.values import Codec
from warmer.errors import ResultNotStorable, UnstorableResult


@given(annotated_values(), st.sampled_from([0, 10**9]))
def test_a_value_comes_back_as_it_was(case: tuple[Any, Any], compress_over_bytes: int) -> None:
    """Types, values, order of dicts, signs of zeros: nothing is lost on the way."""
    annotation, value = case
    codec = Codec(annotation, "q", compress_over_bytes)
    assert same(value, codec.decode(*codec.encode(value)))


@given(KINDS, KINDS, st.data())
def test_a_value_of_another_type_is_refused_or_comes_back_equal(
    annotated: Kind, returned: Kind, data: st.DataObject
) -> None:
    """A load that returns something else is an error with a name, or harmless; never a silent change."""
    value = data.draw(returned.values)
    codec = Codec(annotated.annotation, "q")
    try:
        stored = codec.encode(value)
    except ResultNotStorable:
        return
    back = codec.decode(*stored)
    # An int for a float is the one change of type there is.
    assert same(value, back) or back == value


@given(KINDS, KINDS)
def test_a_union_is_refused_or_keeps_its_values_apart(one: Kind, other: Kind) -> None:
    """What can't be told apart once stored is refused when decorated; the rest is told apart."""
    try:
        Codec(one.annotation | other.annotation, "q")
    except UnstorableResult:
        return


@given(KINDS, KINDS, st.data())
def test_a_value_of_a_union_comes_back_as_its_own_branch(one: Kind, other: Kind, data: st.DataObject) -> None:
    """A value of either branch comes back as that branch's type."""
    assume(one.wire != other.wire and one.annotation is not None and other.annotation is not None)
    try:
        codec = Codec(one.annotation | other.annotation, "q")
    except UnstorableResult:
        return
    for value in (data.draw(one.values), data.draw(other.values)):
        back = codec.decode(*codec.encode(value))
        assert same(value, back)


@given(KINDS)
def test_a_digest_depends_on_the_annotation_alone(kind: Kind) -> None:
    """Two codecs of one annotation agree; a list of it is another type."""
    digest = Codec(kind.annotation, "q").type_digest
    assert digest == Codec(kind.annotation, "other").type_digest
    assert digest != Codec(generic(list, kind.annotation), "q").type_digest


@given(annotated_values())
def test_what_is_immutable_can_be_hashed(case: tuple[Any, Any]) -> None:
    """A type that claims to be shareable holds no list, dict or set; Python itself says so."""
    annotation, value = case
    codec = Codec(annotation, "q")
    if codec.immutable:
        hash(codec.decode(*codec.encode(value)))


@given(annotated_values())
def test_a_copied_value_is_equal_and_shares_nothing_that_can_be_changed(case: tuple[Any, Any]) -> None:
    """What nobody can change may be shared; a list, dict, set or record that is not frozen is another."""
    annotation, value = case
    codec = Codec(annotation, "q")
    if codec.copied:
        first = codec.decode(*codec.encode(value))
        for size in (0, LARGE_BYTES):
            second = codec.copier_of(size)(codec.kept(first))
            assert same(first, second)
            assert not {id(one) for one in changeable(first)} & {id(one) for one in changeable(second)}
