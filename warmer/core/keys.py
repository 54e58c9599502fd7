"""Keys of entries: from a call to a key, and back.

    w:{<namespace>:<shard>}:e:<query>@<version>:<token>,<token>

Whether the tokens are replaced by their digest does not depend on the version, and neither does the shard: an
old process and a new one name each other's entries alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Parameter, Signature
from typing import Any, NoReturn
from zlib import crc32

from warmer.core.builder import Args, KeyFrom, KeyOf, Plan, compile_builder
from warmer.core.keyspace import ENTRY, ShardKeys, keyspace, root_of
from warmer.core.members import EntryKey, digest, full_tokens, parse, split_member
from warmer.core.params import Misfit, ParamType
from warmer.core.tokens import escape
from warmer.errors import InvalidOption, NotAKey, ParamError, UnknownParam, WrongArguments, did_you_mean, show

__all__ = ["EntryKey", "KeyFactory", "ShardKeys", "digest", "keyspace", "parse"]

#: Bytes of the longest key of an entry.
MAX_KEY_BYTES = 250

#: Bytes that every key leaves for the version, so that its length never decides on a digest.
MAX_VERSION_BYTES = 32

#: Bytes that a namespace must leave for the name of a query: a dotted path of three words is half of it.
ROOM_FOR_NAME = 64


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
        kinds = [one.kind for one in signature.parameters.values()]
        self._positional = len(kinds) - kinds.count(Parameter.KEYWORD_ONLY)
        self._stem = f"{escape(query)}@{escape(version)}:"
        self._seed = crc32(f"{escape(query)}:".encode())
        self._longest = self._room()
        self._stems = tuple(f"{root_of(namespace, shard)}{ENTRY}{self._stem}" for shard in range(shards))
        self.key_of, self.key_from = compile_builder(self._plan())

    def _room(self) -> int:
        """How many bytes of tokens fit into a key, whatever the version."""
        if not 0 < len(escape(self.version)) <= MAX_VERSION_BYTES:
            self._refuse("version", self.version, MAX_VERSION_BYTES)
        name, root = len(escape(self.query)), len(root_of(self.namespace, self.shards - 1))
        for_both = MAX_KEY_BYTES - MAX_VERSION_BYTES - len(f"{ENTRY}@:")
        longest_name = for_both - root - len(digest(""))
        if not self.namespace or longest_name < ROOM_FOR_NAME:
            longest = for_both - len(root_of("", self.shards - 1)) - len(digest("")) - ROOM_FOR_NAME
            self._refuse("namespace", self.namespace, longest)
        if not 0 < name <= longest_name:
            self._refuse("name", self.query, longest_name)
        return for_both - root - name

    def _refuse(self, option: str, value: str, longest: int) -> NoReturn:
        expected = f"1 to {longest} bytes long, an escaped byte counting as 3"
        raise InvalidOption(self.query, option, show(value), expected)

    def _plan(self) -> Plan:
        return Plan(
            parameters=tuple(self.signature.parameters.values()),
            types=self._kinds,
            stems=self._stems,
            seed=self._seed,
            longest=self._longest,
            slow=self._slow,
            unbound=self._unbound,
        )

    @property
    def stems(self) -> tuple[bytes, ...]:
        """What the keys of this query, in this version, begin with: one for each shard."""
        return tuple(stem.encode() for stem in self._stems)

    # From a call to a key

    def entry(self, /, *args: Any, **kwargs: Any) -> EntryKey:
        """The key of the entry that this call asks for, with all of its parts."""
        return self._entry(self._tokens(self.key_from(args, kwargs)[1]))

    def canonical(self, /, *args: Any, **kwargs: Any) -> dict[str, object]:
        """The canonical value of each param, defaults filled in."""
        return dict(zip(self.names, self.key_from(args, kwargs)[1], strict=True))

    def call(self, canonical: Args) -> tuple[Args, dict[str, Any]]:
        """Canonical arguments in the order of the signature, as positional ones and keyword-only ones."""
        split = self._positional
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
        query, version, tail = split_member(member)
        if query != self.query:
            raise NotAKey(show(member), f"it is an entry of {query}, not of {self.query}")
        tokens = full_tokens(tail, params, member)
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

    def defaults(self) -> dict[int, str]:
        """The canonical tokens of the params' defaults, by place."""
        given = dict(enumerate(self.signature.parameters.values()))
        return {
            at: self.partial(**{one.name: one.default})[one.name]
            for at, one in given.items()
            if one.default is not one.empty
        }

    def from_text(self, name: str, text: str) -> object:
        """The canonical value of a param that a person typed as `name=text`.

        Raises UnknownParam or ParamError.
        """
        place = self._place(name)
        try:
            return self._kinds[place].from_text(text)
        except Misfit as misfit:
            raise ParamError(self.query, name + misfit.path, misfit.shown, misfit.expected) from None

    def matches(self, tokens: str, partial: Mapping[str, str]) -> bool:
        """Whether the tokens' text of an entry has these tokens for these params.

        An entry with another number of params, of an older or newer version of the query, matches: what can't
        be told apart is rather removed than kept.
        """
        given = tokens.split(",")
        return len(given) != len(self.names) or all(
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
        return WrongArguments(self.query, reason, str(self.signature))

    def _unbound(self, kwargs: Mapping[str, object], wrong: TypeError) -> UnknownParam | WrongArguments:
        """The error for arguments that do not bind; `wrong` is Python's."""
        for name in kwargs:
            if name not in self._places:
                return UnknownParam(self.query, name, self.names, did_you_mean(name, self.names))
        return self._wrong(str(wrong).removeprefix("bind() "))
