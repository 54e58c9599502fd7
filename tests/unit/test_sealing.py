"""Seals: what opens them and what does not, and what a query without a key may not be."""

from __future__ import annotations

import struct
import subprocess
import sys
from base64 import b64encode, urlsafe_b64decode
from typing import Any
from zlib import crc32

import pytest

from tests.seal_keys import KEY, OTHER_KEY
from warmer import PUBLIC, Warmer
from warmer.core.header import COMPRESSED, DIGESTED, FORMAT, NAMED, SEALED
from warmer.core.payload import CHECKSUM_SIZE, digest, pack, unpack
from warmer.errors import ConfigurationError, CorruptEntry, EntryNotOpened, SealKeyMissing
from warmer.sealing import OVERHEAD, Sealer
from warmer.settings import Settings

LIMIT = 100_000
NOWHERE = "redis://127.0.0.1:1/0"
OWNER, OTHER_OWNER = b"owner 01", b"owner 02"
RAW = b"4,711 miles " * 20


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=")


SEALER = Sealer([_bytes(KEY)])
SEAL = SEALER.of_entry(b"w:key", OWNER)


def _summed(flags: int, body: bytes) -> bytes:
    """A payload whose checksum fits, whatever is in it: whoever changes one can write another."""
    return struct.pack("<I", crc32(body, flags & (DIGESTED | NAMED))) + body


@pytest.mark.parametrize("over", [0, LIMIT])
@pytest.mark.parametrize("names", [(), ("g:one", "g:two")])
def test_what_is_sealed_opens_again(over: int, names: tuple[str, ...]) -> None:
    """Compressed or not, with names before it or not; and none of it is there to be read."""
    flags, payload = pack(RAW, over, SEAL.digest(RAW), names, SEAL)

    assert bytes(unpack(flags, payload, LIMIT, seal=SEAL)) == RAW
    assert flags & SEALED
    assert b"miles" not in payload
    assert bool(flags & COMPRESSED) is (over == 0)


def test_one_value_is_never_sealed_alike_twice() -> None:
    """A nonce of its own each time: whoever sees two seals can't tell whether they hold the same."""
    one, two = (pack(RAW, LIMIT, seal=SEAL)[1] for _ in range(2))
    assert one != two
    assert len(one) == CHECKSUM_SIZE + OVERHEAD + len(RAW)


@pytest.mark.parametrize("seal", [SEALER.of_entry(b"w:kez", OWNER), SEALER.of_entry(b"w:key", OTHER_OWNER)])
def test_a_seal_opens_for_its_entry_and_owner_only(seal: Any) -> None:
    """Moved under another key, or given to another owner, it is a blob of noise."""
    flags, payload = pack(RAW, LIMIT, seal=SEAL)

    with pytest.raises(EntryNotOpened, match="another entry or another owner"):
        unpack(flags, payload, LIMIT, seal=seal)


def test_no_changed_byte_gets_through_though_the_checksum_fits() -> None:
    """Each byte, of the digest and the names before the seal, too, changed by one who can write to Redis."""
    flags, payload = pack(RAW[:40], LIMIT, SEAL.digest(RAW), ("g:one",), SEAL)
    body = payload[CHECKSUM_SIZE:]
    for at in range(len(body)):
        changed = bytearray(body)
        changed[at] ^= 1 << at % 8
        with pytest.raises(CorruptEntry):
            unpack(flags, _summed(flags, bytes(changed)), LIMIT, seal=SEAL)


@pytest.mark.parametrize("flag", [COMPRESSED, DIGESTED, NAMED])
def test_the_flags_that_lay_out_a_seal_are_under_it(flag: int) -> None:
    """Whether it is compressed and what stands before it can't be said otherwise afterwards."""
    flags, payload = pack(RAW, LIMIT, seal=SEAL)

    with pytest.raises(CorruptEntry):
        unpack(flags ^ flag, _summed(flags ^ flag, payload[CHECKSUM_SIZE:]), LIMIT, seal=SEAL)


def test_every_cut_of_a_seal_is_noticed() -> None:
    """No prefix of one opens."""
    flags, payload = pack(RAW[:20], LIMIT, seal=SEAL)
    for size in range(len(payload) - CHECKSUM_SIZE):
        with pytest.raises(EntryNotOpened):
            unpack(flags, _summed(flags, payload[CHECKSUM_SIZE:][:size]), LIMIT, seal=SEAL)


def test_who_has_to_find_a_seal_takes_nothing_without_one() -> None:
    """Else whoever can write to Redis would leave the seal out."""
    flags, payload = pack(RAW, LIMIT)

    with pytest.raises(EntryNotOpened, match="not sealed"):
        unpack(flags, payload, LIMIT, seal=SEAL)


def test_a_seal_without_a_key_does_not_open() -> None:
    """A process that has no key says so."""
    flags, payload = pack(RAW, LIMIT, seal=SEAL)

    with pytest.raises(EntryNotOpened, match="no key"):
        unpack(flags, payload, LIMIT)


def test_keys_can_be_changed_one_after_the_other() -> None:
    """The first seals, all open; what an unknown key has sealed says so."""
    old, both, new = (
        Sealer(keys).of_entry(b"w:key", OWNER)
        for keys in ([_bytes(KEY)], [_bytes(OTHER_KEY), _bytes(KEY)], [_bytes(OTHER_KEY)])
    )
    flags, sealed_before = pack(RAW, LIMIT, seal=old)
    _, sealed_since = pack(RAW, LIMIT, seal=both)

    assert unpack(flags, sealed_before, LIMIT, seal=both) == RAW
    assert unpack(flags, sealed_since, LIMIT, seal=new) == RAW
    for seal, payload in ((new, sealed_before), (old, sealed_since)):
        with pytest.raises(EntryNotOpened, match="not among those of seal_key"):
            unpack(flags, payload, LIMIT, seal=seal)


def test_a_sealed_results_digest_confirms_no_guess() -> None:
    """It is another one for each entry, owner and key, so a table of guesses is of no use."""
    others = [
        SEALER.of_entry(b"w:other", OWNER),
        SEALER.of_entry(b"w:key", OTHER_OWNER),
        Sealer([_bytes(OTHER_KEY)]).of_entry(b"w:key", OWNER),
    ]
    assert SEAL.digest(RAW) == SEALER.of_entry(b"w:key", OWNER).digest(RAW)
    assert len({digest(RAW), SEAL.digest(RAW), *(other.digest(RAW) for other in others)}) == 5


def test_the_sealed_bytes_are_what_they_were() -> None:
    """A release that lays seals out otherwise, or derives other keys, would lose what is stored."""
    seal = Sealer([bytes(range(32))]).of_entry(b"w:key", OWNER)
    stored = bytes.fromhex("faa90d156465666768696a6b6c6d6e6ff666a5dab1da2862df9c7929f4f67e23085aa0c61a")

    assert seal.open(bytes((FORMAT, SEALED)), memoryview(stored)) == b"value"


# -- the setting, and queries


@pytest.mark.parametrize("form", ["one", "padded", "standard", "list", "text"])
def test_a_key_is_written_in_base64_of_any_kind(form: str) -> None:
    """As token_urlsafe and as openssl write it; several as a list, or in one text."""
    key, other = _bytes(KEY), _bytes(OTHER_KEY)
    written: dict[str, tuple[object, tuple[bytes, ...]]] = {
        "one": (KEY, (key,)),
        "padded": (KEY + "=", (key,)),
        "standard": (b64encode(key).decode(), (key,)),
        "list": ([KEY, OTHER_KEY], (key, other)),
        "text": (f"{KEY}, {OTHER_KEY}", (key, other)),
    }
    given, want = written[form]

    assert Settings.load("flights", {"seal_key": given}, environ={}).seal_key == want
    if isinstance(given, str):
        assert Settings.load("flights", environ={"WARMER_SEAL_KEY": given}).seal_key == want


@pytest.mark.parametrize(
    "wrong",
    ["", "hunter2", KEY[:-1], KEY + "A", "A" * 43, [], [KEY, ""], f"{KEY},", 7],
    ids=["empty", "a word", "short", "long", "all alike", "none", "one empty", "comma", "number"],
)
def test_what_is_no_key_is_refused_and_not_shown(wrong: object) -> None:
    """Too short, too long, a word; the error says how one is made, and shows nothing of what was given."""
    with pytest.raises(ConfigurationError) as caught:
        Settings.load("flights", {"seal_key": wrong}, environ={})

    assert "token_urlsafe(32)" in str(caught.value)
    assert "a value that is not shown" in str(caught.value)
    assert KEY[:-1] not in str(caught.value)


def test_a_key_is_in_no_repr() -> None:
    """Settings that get into a log give away no key."""
    settings = Settings.load("flights", {"seal_key": [KEY, OTHER_KEY]}, environ={})

    assert "seal_key='***'" in repr(settings)
    assert KEY not in repr(settings)
    assert repr(_bytes(KEY)) not in repr(settings)


def test_a_sensitive_query_without_a_key_is_refused() -> None:
    """Sealed or refused: the error says how a key is made, and nothing is registered."""
    flights = Warmer("flights", redis_url=NOWHERE)

    with pytest.raises(SealKeyMissing, match=r"salaries .*WARMER_SEAL_KEY.*token_urlsafe\(32\)"):

        @flights.cached(ttl=60, name="salaries", sensitive=True)
        def salaries(month: int) -> int:
            return month

    assert flights.queries == {}


def test_only_what_is_private_is_sealed() -> None:
    """A key changes nothing for public queries; it seals scoped and sensitive ones."""
    flights = Warmer("flights", redis_url=NOWHERE, seal_key=KEY)

    def query(user_id: int) -> int:
        return user_id

    flights.cached(ttl=60, name="public", scope=PUBLIC)(query)
    flights.cached(ttl=60, name="scoped", scope="user_id")(query)
    flights.cached(ttl=60, name="sensitive", scope=PUBLIC, sensitive=True)(query)

    sealed = {name for name, reading in flights.readings.items() if reading.sealer is not None}
    assert sealed == {"scoped", "sensitive"}


SCRIPT = """
import sys
{before}
CIPHERS = "cryptography.hazmat.primitives.ciphers.aead"  # redis imports the package itself
from warmer import Warmer
from warmer.errors import MissingExtra

def query(user_id: int) -> int:
    return user_id

flights = Warmer("flights", redis_url="{url}")
flights.cached(ttl=60, name="scoped", scope="user_id")(query)
assert CIPHERS not in sys.modules
flights = Warmer("sealed", redis_url="{url}", seal_key="{key}")
try:
    flights.cached(ttl=60, name="scoped", scope="user_id")(query)
except MissingExtra as missing:
    assert {absent} and "warmer[sealed]" in str(missing) and not flights.queries
else:
    assert not {absent} and CIPHERS in sys.modules
print("done")
"""


@pytest.mark.parametrize("absent", [True, False])
def test_cryptography_is_needed_by_who_has_a_key_only(absent: bool) -> None:
    """It is not imported without a key; with one, and without the package, the error says what to install."""
    before = "sys.modules['cryptography'] = None" if absent else ""
    script = SCRIPT.format(before=before, absent=absent, url=NOWHERE, key=KEY)

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)

    assert (done.stdout, done.stderr) == ("done\n", "")
