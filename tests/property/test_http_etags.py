"""If-None-Match, as clients and caches write it, and as nobody should."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmer.http.etags import entity_tag, is_known

VISIBLE = st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters='"\x7f')
OPAQUE = st.text(VISIBLE, max_size=12).map(lambda text: f'"{text}"')
TAGS = st.builds(lambda weak, tag: weak + tag, st.sampled_from(["", "W/"]), OPAQUE)
BETWEEN = st.sampled_from([",", ", ", " ,\t", ",,", " , , "])


@given(st.lists(TAGS, max_size=6), TAGS, BETWEEN)
def test_a_list_matches_what_is_in_it(tags: list[str], tag: str, between: str) -> None:
    """A tag is known if one of the list is equal but for weakness, whatever stands inside of tags."""
    field = between.join(tags)

    assert is_known(field, tag) == (tag.removeprefix("W/") in {one.removeprefix("W/") for one in tags})
    assert is_known(between.join([*tags, tag]), tag)


@given(st.text(max_size=40), st.text(max_size=10))
def test_any_text_is_answered(field: str, seed: str) -> None:
    """No field, however broken, raises; and none matches a tag that is not in it."""
    tag = entity_tag(seed)

    assert not is_known(field, tag) or field.strip() == "*"


@pytest.mark.parametrize("field", ["", "W/", '"a', 'a"', '"a" "b"', "a", 'w/"a"', '*, "a"', "**", '"a"; "b"'])
def test_what_is_no_list_of_tags_matches_nothing(field: str) -> None:
    """A field that is not of the form of RFC 9110 gets the full answer."""
    assert not is_known(field, '"a"')


def test_an_asterisk_matches_anything() -> None:
    """`*` asks whether there is anything at all."""
    assert is_known(" * ", '"a"')
