"""The text of canonical values: what may stand in a token, and how tokens stand side by side.

Text keeps `[A-Za-z0-9._-]` and escapes every other byte as `%XX`. What is left of ASCII is free to be
structure: `(`, `)` and `;` inside a token, `~` for None and after a type's tag, `,` between tokens, and
`@`, `:`, `#`, `{`, `}` in the key around them. So no value, however odd, can imitate structure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")

#: Whether a text needs no escape (a match, or None). The compiled key builders inline it.
is_plain = re.compile(r"[A-Za-z0-9._-]*").fullmatch

_ESCAPED = tuple(chr(byte) if byte in PLAIN else f"%{byte:02X}" for byte in range(256))
_ESCAPE = re.compile(r"%([0-9A-F]{2})")
_UNESCAPABLE = re.compile(r"(?:[A-Za-z0-9._-]|%[0-9A-F]{2})*").fullmatch


def escape_bytes(data: bytes) -> str:
    """The bytes as plain characters and `%XX` escapes; `unescape_bytes` is its inverse."""
    return "".join([_ESCAPED[byte] for byte in data])


def unescape_bytes(token: str) -> bytes:
    """The bytes that `escape_bytes` was given.

    Raises ValueError for anything that `escape_bytes` does not write.
    """
    if _UNESCAPABLE(token) is None:
        raise ValueError("not escaped text")
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), token).encode("latin-1")


def escape(text: str) -> str:
    """The text as a token. Lone surrogates survive; so do look-alikes, because nothing is normalised."""
    if is_plain(text):
        return text
    return escape_bytes(text.encode("utf-8", "surrogatepass"))


def unescape(token: str) -> str:
    """The text that `escape` was given. Raises ValueError for anything that is not such a token."""
    return unescape_bytes(token).decode("utf-8", "surrogatepass")


def join_items(items: Sequence[str]) -> str:
    """Tokens as one token: `(a;b;)`. Each is closed, so `()` and one empty token, `(;)`, differ."""
    return f"({''.join([item + ';' for item in items])})"


def split_items(token: str) -> list[str]:
    """The tokens that `join_items` was given. Raises ValueError when the token is not of its form."""
    if len(token) < 2 or token[0] != "(" or token[-1] != ")":
        raise ValueError("not a list of tokens")
    items, depth, start = [], 0, 1
    for at in range(1, len(token) - 1):
        mark = token[at]
        if mark == "(":
            depth += 1
        elif mark == ")":
            depth -= 1
        elif mark == ";" and depth == 0:
            items.append(token[start:at])
            start = at + 1
        if depth < 0:
            break
    if depth != 0 or start != len(token) - 1:
        raise ValueError("not a list of tokens")
    return items
