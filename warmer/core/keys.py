"""Keys of entries: from a call to a key, and back.

    w:{<namespace>:<shard>}:e:<query>@<version>:<token>,<token>

What follows `e:` is the *member*, by which indexes and sets hold the entry. Where the tokens are long they
are replaced by `#` and their digest, and stand in full beside the index and in messages; whether they are
does not depend on the version, so an old process and a new one name each other's entries alike. The shard
depends on the query and the tokens only, for the same reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from inspect import Parameter, Signature
from typing import Any
from zlib import crc32

from warmer.core.builder import Args, KeyFrom, KeyOf, Plan, compile_builder
from warmer.core.keyspace import ENTRY, ShardKeys, keyspace, root_of
from warmer.core.params import Misfit, ParamType
from warmer.core.tokens import escape, unescape
from warmer.errors import (
    InvalidOption,
    KeyDigested,
    NotAKey,
    ParamError,
    UnknownParam,
    WrongArguments,
    did_you_mean,
    show,
)

__all__ = ["EntryKey", "KeyFactory", "ShardKeys", "digest", "keyspace", "parse"]

#: Bytes of the longest key of an entry.
MAX_KEY_BYTES = 250

#: Bytes that every key leaves for the version, so that its length never decides on a digest.
MAX_VERSION_BYTES = 32

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
    query, version, tail = _split(match["member"])
    return query, version, _full(tail, params, key)


def _split(member: str) -> tuple[str, str, str]:
    match = _MEMBER(member)
    if match is None:
        raise NotAKey(show(member), "a member reads <query>@<version>:<params>")
    try:
        return unescape(match["query"]), unescape(match["version"]), match["params"]
    except ValueError:
        raise NotAKey(show(member), "its query or its version is not escaped as Warmer does") from None


def _full(tail: str, params: str | None, key: str) -> str:
    if not tail.startswith(_MARK):
        return tail
    if params is None:
        raise KeyDigested(key)
    if digest(params) != tail:
        raise NotAKey(show(key), "the params given beside it are not those that it holds a digest of")
    return params


class KeyFactory:
    """Builds, reads and matches the keys of one query.

    query, version: any text; what is not `[A-Za-z0-9._-]` is escaped. signature: of the params alone, without
    resources, defaults being canonical. Raises InvalidOption when namespace, query and version leave too
    little of a key for the params.

    `key_of(*args, **kwargs)` is the hot path: the Redis key and the canonical arguments in the order of the
    signature. `key_from(args, kwargs)` is the same for a caller that has them packed. Both raise ParamError,
    UnknownParam or WrongArguments.
    """

    key_of: KeyOf
    key_from: KeyFrom

    def __init__(
        self,
        namespace: str,
        shards: int,
        query: str,
        version: str,
        signature: Signature,
        types: Mapping[str, ParamType],
    ) -> None:
        self.namespace, self.shards, self.query, self.version = namespace, shards, query, version
        self.signature, self.types = signature, dict(types)
        self.names = tuple(signature.parameters)
        self._kinds = tuple(self.types[name] for name in self.names)
        self._places = {name: at for at, name in enumerate(self.names)}
        self._stem = f"{escape(query)}@{escape(version)}:"
        self._seed = crc32(f"{escape(query)}:".encode())
        self._longest = self._room()
        self._stems = tuple(f"{root_of(namespace, shard)}{ENTRY}{self._stem}" for shard in range(shards))
        self.key_of, self.key_from = compile_builder(self._plan())

    def _room(self) -> int:
        """How many bytes of tokens fit into a key, whatever the version."""
        if not self.version or len(escape(self.version)) > MAX_VERSION_BYTES:
            raise InvalidOption(
                self.query, "version", show(self.version), f"1 to {MAX_VERSION_BYTES} bytes long when escaped"
            )
        stem = len(root_of(self.namespace, self.shards - 1)) + len(f"{ENTRY}{escape(self.query)}@:")
        room = MAX_KEY_BYTES - MAX_VERSION_BYTES - stem
        if not self.query or room < len(digest("")):
            longest = len(escape(self.query)) - (len(digest("")) - room)
            raise InvalidOption(
                self.query,
                "name",
                show(self.query),
                f"1 to {longest} bytes long when escaped, in this namespace",
            )
        return room

    def _plan(self) -> Plan:
        return Plan(
            parameters=tuple(self.signature.parameters.values()),
            types=self._kinds,
            stems=self._stems,
            seed=self._seed,
            longest=self._longest,
            slow=self._slow,
            explain=self._explain,
        )

    # From a call to a key

    def entry(self, /, *args: Any, **kwargs: Any) -> EntryKey:
        """The key of the entry that this call asks for, with all of its parts."""
        return self._entry(self._tokens(self.key_from(args, kwargs)[1]))

    def canonical(self, /, *args: Any, **kwargs: Any) -> dict[str, object]:
        """The canonical value of each param, defaults filled in."""
        return dict(zip(self.names, self.key_from(args, kwargs)[1], strict=True))

    def call(self, canonical: Args) -> tuple[Args, dict[str, Any]]:
        """Canonical arguments in the order of the signature, as positional ones and keyword-only ones."""
        split = sum(one.kind is not Parameter.KEYWORD_ONLY for one in self.signature.parameters.values())
        return canonical[:split], dict(zip(self.names[split:], canonical[split:], strict=True))

    def tokens(self, params: Mapping[str, object]) -> str:
        """The tokens' text of params given by name; those with a default may be left out."""
        return self._tokens(self._checked(self._by_name(params)))

    # From a key to params

    def params_of(self, tokens: str) -> dict[str, object]:
        """The canonical value of each param. Raises NotAKey for a text that is no call's of this query."""
        given = tokens.split(",") if self.names or tokens else []
        if len(given) != len(self.names):
            raise NotAKey(
                show(tokens), f"{self.query} has {len(self.names)} params, this text has {len(given)}"
            )
        params = {}
        for name, token in zip(self.names, given, strict=True):
            try:
                params[name] = self.types[name].decode(token)
            except Misfit as misfit:
                reason = f"{name} of {self.query} should be {misfit.expected}, it is {misfit.shown}"
                raise NotAKey(show(tokens), reason) from None
        return params

    def from_member(self, member: str, params: str | None = None) -> EntryKey:
        """The key of a member of this query, in whichever version.

        params: the tokens' text, where the member holds a digest. Raises KeyDigested when it is missing,
        NotAKey for a member of another query.
        """
        query, version, tail = _split(member)
        if query != self.query:
            raise NotAKey(show(member), f"it is an entry of {query}, not of {self.query}")
        tokens = _full(tail, params, member)
        shard = self._shard(tokens)
        key = f"{root_of(self.namespace, shard)}{ENTRY}{member}"
        return EntryKey(shard, member, tokens, key, query, version)

    # Parts of params

    def partial(self, /, **some: object) -> dict[str, str]:
        """The canonical token of each of some params. Raises UnknownParam or ParamError."""
        tokens = {}
        for name, value in some.items():
            place = self._place(name)
            tokens[name] = self._kinds[place].encode(self._check(place, value))
        return tokens

    def matches(self, tokens: str, partial: Mapping[str, str]) -> bool:
        """Whether the tokens' text of an entry has these tokens for these params."""
        given = tokens.split(",")
        return len(given) >= len(self.names) and all(
            given[self._place(name)] == token for name, token in partial.items()
        )

    # Inside

    def _slow(self, args: Args) -> tuple[bytes, Args]:
        canonical = self._checked(args)
        tokens = self._tokens(canonical)
        tail = tokens if len(tokens) <= self._longest else digest(tokens)
        return (self._stems[self._shard(tokens)] + tail).encode(), canonical

    def _entry(self, tokens: str) -> EntryKey:
        member = self._stem + (tokens if len(tokens) <= self._longest else digest(tokens))
        shard = self._shard(tokens)
        key = f"{root_of(self.namespace, shard)}{ENTRY}{member}"
        return EntryKey(shard, member, tokens, key, self.query, self.version)

    def _shard(self, tokens: str) -> int:
        return crc32(tokens.encode(), self._seed) % self.shards

    def _checked(self, args: Args) -> Args:
        return tuple([self._check(place, value) for place, value in enumerate(args)])

    def _tokens(self, canonical: Args) -> str:
        return ",".join([kind.encode(value) for kind, value in zip(self._kinds, canonical, strict=True)])

    def _check(self, place: int, value: object) -> object:
        try:
            return self._kinds[place].check(value)
        except Misfit as misfit:
            param = self.names[place] + misfit.path
            raise ParamError(self.query, param, misfit.shown, misfit.expected) from None

    def _place(self, name: str) -> int:
        place = self._places.get(name)
        if place is None:
            raise UnknownParam(self.query, name, self.names, did_you_mean(name, self.names))
        return place

    def _by_name(self, params: Mapping[str, object]) -> Args:
        for name in params:
            self._place(name)
        values = []
        for name, parameter in self.signature.parameters.items():
            if name not in params and parameter.default is Parameter.empty:
                raise self._wrong(f"the param {name!r} is missing")
            values.append(params.get(name, parameter.default))
        return tuple(values)

    def _wrong(self, reason: str) -> WrongArguments:
        return WrongArguments(self.query, reason, _written(self.signature))

    def _explain(self, args: Args, kwargs: dict[str, Any]) -> Args:
        """Raises what is wrong with arguments that do not bind; gives them bound if nothing is."""
        for name in kwargs:
            self._place(name)
        try:
            return tuple(self._bound(args, kwargs))
        except TypeError as wrong:
            raise self._wrong(str(wrong)) from None

    def _bound(self, args: Args, kwargs: dict[str, Any]) -> Args:
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return tuple(bound.arguments.values())


def _written(signature: Signature) -> str:
    return str(signature)
