"""Surrogate keys: an entry's names as texts for a header, by which shared caches are told to drop it."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable

# What every cache takes in a key. Missing on purpose: blanks and commas (they separate keys), `*` (some
# services take it for any), and what means something in VCL's strings.
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:=/-")
_ENCODED = tuple(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in range(256))

#: A longer key becomes a digest: services take 128 characters and more, and a header has room for so many.
MOST_CHARS = 48
#: Of all keys in one header. nginx reads a response's whole head into one page of 4 or 8 KB by default,
#: Varnish a line of at most 8 KB, Fastly and Cloudflare 16 KB.
MOST_HEADER_CHARS = 3500


@functools.lru_cache(maxsize=4096)  # a page of a few entries is shown often: each name takes 2 to 7 us
def surrogate_key(namespace: str, name: str) -> str:
    """The key of one name in one namespace: readable where it's short, else a digest behind its kind.

    Equal names give equal keys. Different names give different ones; services that ignore case, as
    Cloudflare's does, drop a little more.
    """
    written = "".join([_ENCODED[byte] for byte in f"{namespace}/{name}".encode("utf-8", "surrogatepass")])
    if len(written) <= MOST_CHARS:
        return written
    digest = hashlib.blake2b(written.encode(), digest_size=12).hexdigest()
    return f"{name[:1]}-{digest}"


def fit(keys: Iterable[str], separator: str) -> str | None:
    """The keys as one header's value; None when they are too many: what can't be purged must not be kept."""
    value = separator.join(keys)
    return value if len(value) <= MOST_HEADER_CHARS else None
