"""The parts of an entry's key: its member, the digest of long params, and reading them back.

    w:{<namespace>:<shard>}:e:<query>@<version>:<token>,<token>

What follows `e:` is the *member*, by which indexes and sets hold the entry. Where the tokens are long, `#`
and their digest stand for them, and the tokens themselves stand beside the index and in messages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b

from warmer.core.keyspace import ENTRY
from warmer.core.tokens import unescape
from warmer.errors import KeyDigested, NotAKey, show

_DIGEST_BYTES = 20
_MARK = "#"
_NAME = r"[A-Za-z0-9._%-]+"
_PARAMS = r"[A-Za-z0-9._%~();,-]*|#[0-9a-f]{40}"
_MEMBER = re.compile(f"(?P<query>{_NAME})@(?P<version>{_NAME}):(?P<params>{_PARAMS})").fullmatch
_KEY = re.compile(rf"w:\{{{_NAME}:[0-9]+\}}:{ENTRY}(?P<member>.*)", re.DOTALL).fullmatch


@dataclass(frozen=True, slots=True)
class EntryKey:
    """An entry's key and its parts. `params` is the tokens' text, in full even where the key has a digest."""

    shard: int
    member: str
    params: str
    key: str
    query: str
    version: str

    @property
    def digested(self) -> bool:
        """Whether the key holds a digest in place of its params."""
        return self.tail.startswith(":" + _MARK)

    @property
    def tail(self) -> str:
        """What follows the version in the member: the same for every version of the query."""
        return self.member[self.member.index(":") :]


def digest(tokens: str) -> str:
    """What stands for long tokens in a member: 160 bits of BLAKE2b, in hexadecimal after a `#`."""
    return _MARK + blake2b(tokens.encode(), digest_size=_DIGEST_BYTES).hexdigest()


def parse(key: str, params: str | None = None) -> tuple[str, str, str]:
    """The query, the version and the text of the params of an entry's key.

    params: that text, for a key that holds a digest of it. Raises KeyDigested when it is needed and not
    given, NotAKey when the text is no entry's key or `params` is not what was digested.
    """
    match = _KEY(key)
    if match is None:
        raise NotAKey(show(key), "it does not begin like w:{namespace:shard}:e:")
    query, version, tail = split_member(match["member"])
    return query, version, full_tokens(tail, params, key)


def split_member(member: str) -> tuple[str, str, str]:
    """The query, the version and the tail of a member: its tokens or their digest. Raises NotAKey."""
    match = _MEMBER(member)
    if match is None:
        raise NotAKey(show(member), "a member reads <query>@<version>:<params>")
    try:
        return unescape(match["query"]), unescape(match["version"]), match["params"]
    except ValueError:
        raise NotAKey(show(member), "its query or its version is not escaped as Warmer does") from None


def full_tokens(tail: str, params: str | None, key: str) -> str:
    """The tokens of a tail; `params` if it is a digest of them. Raises KeyDigested or NotAKey."""
    if not tail.startswith(_MARK):
        return tail
    if params is None:
        raise KeyDigested(key)
    if digest(params) != tail:
        raise NotAKey(show(key), "the params given beside it are not those that it holds a digest of")
    return params
