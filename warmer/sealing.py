"""Seals: what makes a private entry unreadable, and useless anywhere else, to who has Redis but not the key.

A sealed value is laid out in the payload (see warmer.core.payload) as

    key id   4 bytes, which of the keys has sealed it
    nonce   12 bytes, random
    body     AES-256-GCM of the encoded value, and its tag of 16 bytes

Each entry is sealed with a key of its own: keyed BLAKE2b (RFC 7693, a pseudorandom function) of the owner's
digest and the entry's Redis key. So what was stored for another entry or another owner does not open. And the
bound of NIST SP 800-38D, section 8.3, for random nonces of 96 bits (2**32 uses of a key) is one on the loads
of each entry, which at one a second last for 136 years, and not on those of the namespace. Authenticated with
the value is what stands before it: the flags that say how it is laid out, the digest, the names.

Deliberately not bound: stamp and times, which the commit's script writes after this. Who can write to Redis
can put an earlier value of the same entry back, or none.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from warmer.core.payload import DIGEST_SIZE
from warmer.errors import EntryNotOpened, MissingExtra

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_SIZE: Final = 32
_ID_SIZE, _NONCE_SIZE = 4, 12
#: What a sealed value has more than the value itself.
OVERHEAD: Final = _ID_SIZE + _NONCE_SIZE + 16


class Sealer:
    """Seals the entries of a namespace with the first of its keys, and opens them with any. Thread-safe.

    keys: of 32 bytes each. Raises MissingExtra without the package `cryptography`.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as missing:
            raise MissingExtra("cryptography", "sealed", "the setting seal_key") from missing
        self._cipher: type[AESGCM] = AESGCM
        self.refused: type[Exception] = InvalidTag
        # By its id what each key derives from; keyed once, as that costs more than all the rest.
        self._derive: dict[bytes, blake2b] = {}
        for key in keys:
            key_id = _keyed(key, b"warmer key id").digest()[:_ID_SIZE]
            self._derive.setdefault(key_id, _keyed(key, b"warmer seal"))
        self.first = next(iter(self._derive))
        self._digest = _keyed(keys[0], b"warmer digest")

    def of_entry(self, key: bytes, owner: bytes) -> EntrySeal:
        """What seals and opens one entry. key: its Redis key; owner: its owner's digest, 8 bytes."""
        return EntrySeal(self, owner, key)

    def cipher(self, key_id: bytes, owner: bytes, key: bytes) -> AESGCM | None:
        """The entry's cipher under the key of this id; None if there is no such key."""
        keyed = self._derive.get(key_id)
        return None if keyed is None else self._cipher(_derived(keyed, owner, key))

    def digest(self, owner: bytes, key: bytes, raw: bytes) -> bytes:
        """What stands for a result of the entry, to nobody without the key. DIGEST_SIZE bytes."""
        return blake2b(raw, key=_derived(self._digest, owner, key), digest_size=DIGEST_SIZE).digest()


class EntrySeal:
    """The seal of one entry."""

    __slots__ = ("_key", "_owner", "_sealer")

    def __init__(self, sealer: Sealer, owner: bytes, key: bytes) -> None:
        self._sealer, self._owner, self._key = sealer, owner, key

    def digest(self, raw: bytes) -> bytes:
        """In place of a plain digest, by which who reads Redis could confirm a guess."""
        return self._sealer.digest(self._owner, self._key, raw)

    def seal(self, stated: bytes, body: bytes) -> bytes:
        """The body, sealed. stated: what stands before it in the clear; what it opens with, only."""
        key_id, nonce = self._sealer.first, os.urandom(_NONCE_SIZE)
        cipher = self._sealer.cipher(key_id, self._owner, self._key)
        assert cipher is not None, "the first key is there"
        return key_id + nonce + cipher.encrypt(nonce, body, stated)

    def open(self, stated: bytes, sealed: memoryview) -> bytes:
        """The body. Raises EntryNotOpened for whatever was not sealed for this entry, as it stands."""
        if len(sealed) < OVERHEAD:
            raise EntryNotOpened(f"it is sealed, and has {len(sealed)} bytes of at least {OVERHEAD}")
        nonce_ends = _ID_SIZE + _NONCE_SIZE
        cipher = self._sealer.cipher(bytes(sealed[:_ID_SIZE]), self._owner, self._key)
        if cipher is None:
            raise EntryNotOpened("it is sealed by a key that is not among those of seal_key")
        try:
            return cipher.decrypt(bytes(sealed[_ID_SIZE:nonce_ends]), sealed[nonce_ends:], stated)
        except self._sealer.refused:
            raise EntryNotOpened(
                "its seal is broken: it was changed, or was stored for another entry or another owner"
            ) from None


def _keyed(key: bytes, purpose: bytes) -> blake2b:
    return blake2b(key=key, person=purpose, digest_size=KEY_SIZE)


def _derived(keyed: blake2b, owner: bytes, key: bytes) -> bytes:
    """A key of one entry. Owners are of one length, so owner and key can be joined in one way only."""
    hashed = keyed.copy()
    hashed.update(owner)
    hashed.update(key)
    return hashed.digest()
