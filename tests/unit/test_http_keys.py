"""Surrogate keys: what stands in the header, and what is sent to be purged."""

from __future__ import annotations

import pytest

from warmer.http.keys import MOST_CHARS, MOST_HEADER_CHARS, fit, surrogate_key


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("g:month:3", "shop/g:month:3"),
        ("c:flights:carrier=UA,month=3", "shop/c:flights:carrier=UA%2Cmonth=3"),
        ("g:a b*{}\"'\r\n", "shop/g:a%20b%2A%7B%7D%22%27%0D%0A"),
        ("g:zürich", "shop/g:z%C3%BCrich"),
        ("g:\udc80", "shop/g:%ED%B2%80"),
    ],
)
def test_a_key_is_readable_and_safe_in_a_header(name: str, key: str) -> None:
    """Letters, digits and a few marks stay; whatever separates keys or ends a header is escaped."""
    assert surrogate_key("shop", name) == key


def test_a_long_name_becomes_a_digest_of_its_kind() -> None:
    """A key is never longer than its bound, and different names have different keys."""
    keys = {surrogate_key("shop", f"e:board:{'x' * length}") for length in range(200)}

    assert len(keys) == 200
    assert all(len(key) <= MOST_CHARS for key in keys)
    assert any(key.startswith("e-") for key in keys)


def test_namespaces_do_not_purge_each_other() -> None:
    """The same name in two namespaces has two keys."""
    assert surrogate_key("a", "q:x") != surrogate_key("b", "q:x")


def test_keys_that_do_not_fit_are_none() -> None:
    """What would be cut off would not be purged: there are all keys, or none."""
    assert fit(["a", "b"], ",") == "a,b"
    assert fit(["x" * MOST_HEADER_CHARS], " ") is not None
    assert fit(["x" * MOST_HEADER_CHARS, "y"], " ") is None
