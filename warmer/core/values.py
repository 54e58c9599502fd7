"""The codec of a query's values: its return annotation in, bytes in Redis, the annotated type out.

MessagePack by msgspec, with one typed decoder for each query, made when the query is decorated. Nothing is
ever pickled, and decoding runs no code but that of the annotated types. What comes back:

- Decimal, UUID, date, time, timedelta, sets, tuples, dataclasses, Structs, NamedTuples, TypedDicts, Enums:
  as annotated, equal to what the load returned;
- an aware datetime: the same instant, in UTC (its zone is not kept);
- Any inside a type (`dict[str, Any]`): plain JSON-like values only.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import Any

from msgspec import inspect as tree
from msgspec import msgpack

from warmer.core import models, payload
from warmer.core.collecting import LARGE_BYTES, Decode, uninterrupted
from warmer.core.copying import Copier, copying_of
from warmer.core.fitting import fit_for
from warmer.core.immutability import is_immutable
from warmer.core.leaves import Misfit
from warmer.core.shapes import RECORDS, class_of, describe, is_model, shape_of, unalias, walk
from warmer.core.type_digest import type_digest
from warmer.errors import CorruptEntry, ResultNotStorable, ResultTooLarge, mask

# msgspec learns a class at its first use, and by a class that is half learned decoding crashes the process.
_learning = threading.Lock()

COMPRESS_OVER_BYTES = 2048
LIMIT_BYTES = 16 * 1024 * 1024


class Codec:
    """Encodes and decodes the values of one query; built once, from its return annotation. Thread-safe.

    annotation: the resolved annotation (of an async query: of what it returns when awaited).
    where: the query's name, for errors.
    compress_over_bytes: encoded values longer than this are compressed, if that makes them smaller.
    limit_bytes: the longest encoded value, before compression; what a reader has to decode at most.
    digested: whether a digest of each result is stored with it. Not of sensitive ones: who can read Redis
    could confirm a guess by it.

    type_digest: 10 hex digits that change when a field or a type does; the default version.
    immutable: whether decoded values can be shared between readers.
    copied: whether another can be made of a decoded value without decoding again, see `kept`, `copier_of`.
    copying_runs_code: whether the types' own code runs then: it may only for what `is_stored_as` says yes to.

    Raises UnstorableResult for an annotation whose values would not come back as that type.
    """

    __slots__ = (
        "_compress_over_bytes",
        "_copy_large",
        "_copying",
        "_decode",
        "_decode_large",
        "_digested",
        "_encode",
        "_fit",
        "_limit_bytes",
        "_may_drift",
        "_ordered",
        "annotation",
        "copied",
        "copying_runs_code",
        "immutable",
        "type_digest",
        "where",
    )

    def __init__(
        self,
        annotation: Any,
        where: str,
        compress_over_bytes: int = COMPRESS_OVER_BYTES,
        limit_bytes: int = LIMIT_BYTES,
        digested: bool = True,
    ) -> None:
        shape = shape_of(annotation, where)
        nodes = [node for _, node in walk(shape)]
        self.annotation = describe(annotation)
        self.where = where
        self.type_digest = type_digest(shape)
        self.immutable = is_immutable(shape)
        self._copying = None if self.immutable else copying_of(shape)
        self.copied = self._copying is not None
        self.copying_runs_code = self._copying is not None and self._copying.runs_code
        self._copy_large = None if self._copying is None else uninterrupted(self._copying.make)
        self._compress_over_bytes = compress_over_bytes
        self._limit_bytes = limit_bytes
        self._digested = digested
        self._fit = fit_for(shape)
        self._may_drift = any(
            isinstance(node, RECORDS) and hasattr(class_of(node), "__post_init__") for node in nodes
        )
        hook = models.dump if any(map(is_model, nodes)) else None
        self._encode = msgpack.Encoder(enc_hook=hook).encode
        # A set comes in another order from another process: equal results must have one digest all the same.
        unordered = any(isinstance(node, (tree.SetType, tree.FrozenSetType)) for node in nodes)
        self._ordered = msgpack.Encoder(enc_hook=hook, order="deterministic").encode if unordered else None
        with _learning:
            self._decode = msgpack.Decoder(unalias(annotation), dec_hook=models.load).decode
        self._decode_large = uninterrupted(self._decode)

    def encode(
        self,
        value: Any,
        names: Collection[str] = (),
        seal: payload.Seal | None = None,
        owner: bytes = payload.PUBLIC_OWNER,
    ) -> tuple[int, bytes]:
        """The flags and the payload of a value: with the names that its load found, sealed by what seals it.

        owner: the digest of whose it is, 8 bytes.
        Raises ResultNotStorable when the value is not exactly what the annotation says, and ResultTooLarge.
        What is returned can be decoded: it has been, here, where it costs no reader anything.
        """
        raw = self._encoded(value)
        if len(raw) > self._limit_bytes:
            raise ResultTooLarge(self.where, len(raw), self._limit_bytes)
        self._check(value)
        self._read_back(raw, value)
        sign = payload.digest if seal is None else seal.digest
        digest = sign(self._in_order(value, raw)) if self._digested else b""
        return payload.pack(raw, self._compress_over_bytes, digest, names, seal, owner)

    def decode(
        self,
        flags: int,
        stored: bytes | bytearray | memoryview,
        offset: int = 0,
        seal: payload.Seal | None = None,
    ) -> Any:
        """The value in a payload (which begins at `offset`), of the annotated type.

        Raises CorruptEntry, and nothing else.
        """
        raw = payload.unpack(flags, stored, self._limit_bytes, offset, seal)
        try:
            return self._decode(raw) if len(raw) < LARGE_BYTES else self._decode_large(raw)
        except Exception as broken:
            raise self._corrupt(broken) from broken

    def unpack(
        self,
        flags: int,
        stored: bytes | bytearray | memoryview,
        offset: int = 0,
        seal: payload.Seal | None = None,
    ) -> memoryview | bytearray | bytes:
        """The encoded value in a payload: whole, open, and not compressed any more. Raises CorruptEntry."""
        return payload.unpack(flags, stored, self._limit_bytes, offset, seal)

    def decoder_of(self, size_bytes: int) -> Decode:
        """What decodes so many bytes that `unpack` gave; raises what msgspec and the types' own code do."""
        return self._decode if size_bytes < LARGE_BYTES else self._decode_large

    def is_stored_as(self, value: Any, raw: bytes) -> bool:
        """Whether a decoded value is encoded as these bytes: the types' own code has left it as it was."""
        try:
            return self._encode(value) == raw
        except Exception:  # noqa: BLE001 - whatever the user's code made of it: it is not that
            return False

    def kept(self, value: Any) -> Any:
        """What others are made of instead of a decoded value, where values are `copied`."""
        assert self._copying is not None
        return self._copying.keep(value)

    def copier_of(self, size_bytes: int) -> Copier:
        """What makes a value of what is `kept` of one, and takes so many bytes."""
        assert self._copying is not None
        assert self._copy_large is not None
        return self._copying.make if size_bytes < LARGE_BYTES else self._copy_large

    def _corrupt(self, broken: Exception) -> CorruptEntry:
        """For bytes that msgspec refuses, and for what the annotated types' own code raises."""
        return CorruptEntry(f"it is not {self.annotation}: {type(broken).__name__}")

    def _in_order(self, value: Any, raw: bytes) -> bytes:
        if self._ordered is None:
            return raw
        try:
            return self._ordered(value)
        except TypeError:  # items of kinds that have no order: such a result may look changed where it is not
            return raw

    def _encoded(self, value: Any) -> bytes:
        try:
            return self._encode(value)
        except (TypeError, NotImplementedError) as unknown:
            # The check names the place; msgspec names only the type.
            self._check(value)
            raise self._not_storable(str(unknown)) from unknown
        except RecursionError as endless:
            raise self._not_storable("it is nested too deeply, or contains itself") from endless
        except OverflowError as beyond:
            raise self._not_storable(f"{beyond} (a larger int fits in a Decimal or a str)") from beyond
        except ValueError as unfit:  # lone surrogates; what a pydantic serializer raises
            raise self._not_storable(mask(str(unfit))) from unfit

    def _check(self, value: Any) -> None:
        try:
            self._fit([value], "the value")
        except Misfit as misfit:
            raise self._not_storable(str(misfit)) from None
        except RecursionError as endless:
            raise self._not_storable("it is nested too deeply, or contains itself") from endless

    def _read_back(self, raw: bytes, value: Any) -> None:
        try:
            back = self._decode(raw)
        except Exception as refused:  # the annotated types' own constraints and code (__post_init__)
            raise self._not_storable(f"it can't be read back: {mask(str(refused))}") from refused
        # Equal bytes are a second opinion on what a NaN or an identity comparison makes unequal.
        if self._may_drift and back != value and self._encode(back) != raw:
            raise self._not_storable("its __post_init__ changes it once more when it is read back")

    def _not_storable(self, reason: str) -> ResultNotStorable:
        return ResultNotStorable(self.where, self.annotation, reason)
