"""Entity tags: made of what a response shows, and compared with what a client has; pure."""

from __future__ import annotations

import hashlib
import re

# RFC 9110, section 8.8.3: opaque-tag = DQUOTE *etagc DQUOTE; etagc is any visible character but DQUOTE, and
# obs-text. A comma may stand inside of a tag, so a list can't be split at commas.
_TAG = re.compile(r'\s*(?:(?:W/)?("[\x21\x23-\x7e\x80-\xff]*"))?\s*(?:,|$)')


def entity_tag(seed: str, version: str = "") -> str:
    """The weak entity tag of a response made of what `seed` stands for, by release `version` of the page.

    Weak (RFC 9110, section 8.8.1), since one value may be written as different bytes: compressed, say.
    """
    digest = hashlib.blake2b(f"{version}\n{seed}".encode("utf-8", "surrogatepass"), digest_size=12)
    return f'W/"{digest.hexdigest()}"'


def opaque(tag: str) -> str:
    """The tag without its mark of weakness."""
    return tag.removeprefix("W/")


def is_known(if_none_match: str, tag: str) -> bool:
    """Whether an If-None-Match names this tag, so that 304 Not Modified is the answer.

    RFC 9110, section 13.1.2: `*`, or a list of which one matches by weak comparison (section 8.8.3.2: equal
    opaque tags, weak or not). A field that is not of that form matches nothing: a full answer is never wrong.
    """
    given = if_none_match.strip()
    if given == "*":
        return True
    at, found = 0, False
    while at < len(given):
        match = _TAG.match(given, at)
        if match is None:
            return False
        found = found or match[1] == opaque(tag)
        at = match.end()
    return found
