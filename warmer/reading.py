"""One query, ready to be read: its key's builder, its decoder, its names, and the steps of a read."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import time
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from warmer.core.header import HEADER_SIZE, INVALIDATED, OWNED, Times, cost_in, read_times
from warmer.core.keys import EntryKey, KeyFactory
from warmer.core.params import Misfit
from warmer.core.payload import PUBLIC_OWNER, Seal, front_of, owner_in
from warmer.core.values import Codec
from warmer.dependencies import Dependencies, Names
from warmer.driving import Steps, Within
from warmer.entry import Entry, EntryState
from warmer.errors import (
    CacheMiss,
    CorruptEntry,
    EntryNotOpened,
    IdentityRefused,
    ParamError,
    ServerError,
    WarmerError,
)
from warmer.found.reads import Reads
from warmer.options import Options
from warmer.runtime.contract import Outcome, Reader
from warmer.runtime.modes import identity, past
from warmer.store.connections import Crowded
from warmer.store.operations import Found

if TYPE_CHECKING:
    from warmer.runtime.handover import Handover
    from warmer.runtime.process import Runtime
    from warmer.sealing import Sealer

R = TypeVar("R")
Args = tuple[Any, ...]
#: One call: its entry's key, and its canonical arguments.
Call = tuple[bytes, Args]


@dataclass(frozen=True, slots=True)
class Missed:
    """Nothing that could be served.

    Only a value whose stamp is later than `newer_than` is of use: what is there and can't be read must not be
    taken for an answer again. None: only a load that begins after now.
    stale: what may be served if nothing newer comes within the query's `soft_timeout`, or its load fails.
    """

    newer_than: int | None = 0
    stale: Seen | None = None


MISSED = Missed()
#: No connection was free: it is looked for with others.
CROWDED = Missed()
#: The same of a reader that has not looked: others have just found nothing, and it joins them.
JOINING = Missed()
UNREADABLE = Missed(None)

#: A value that may be served, the server's time when it was read, the blob it was in (or what stands before
#: the value there), and its header.
Seen = tuple[Any, float, bytes, Times]


@dataclass(slots=True, eq=False)
class Reading(Generic[R]):
    """What a query was declared as. One a query; immutable after registration."""

    name: str
    fn: Callable[..., Any]
    is_async: bool
    options: Options
    keys: KeyFactory
    codec: Codec
    dependencies: Dependencies
    resources: Mapping[str, Callable[[], Any]]
    runtime_of: Callable[[], Runtime]
    batch: Callable[..., Any] | None = None
    sealer: Sealer | None = None
    scoped: bool = field(init=False)
    #: Whether a reader may join others without a look of its own: not where there may be a near copy, or
    #: where a miss is an error.
    joins: bool = field(init=False)
    _guarded: bool = field(init=False)
    #: Whether all who are told of a load may have one value.
    _shares: bool = field(init=False)

    def __post_init__(self) -> None:
        self.scoped = self.dependencies.scope is not None
        self.joins = not self.options.near_s and self.options.miss != "raise"
        self._guarded = self.scoped or self.sealer is not None
        self._shares = self.codec.immutable and not self._guarded

    # -- the steps of a read

    def peeking(self, runtime: Runtime, calls: list[Call]) -> Steps[list[Seen | Missed]]:
        """What may be served of these entries, in one round trip."""
        found, life = yield [key for key, _ in calls]
        return [
            self.hit(runtime, key, args, one, life) for (key, args), one in zip(calls, found, strict=True)
        ]

    def hit(self, runtime: Runtime, key: bytes, args: Args, found: Found, life: bytes) -> Seen | Missed:
        """What may be served now of what Redis holds; asks for its refresh when it is due.

        A blob that is corrupt, foreign, of an earlier life of the server or of another owner is a miss, as is
        a server that is away.
        """
        if type(found) is not bytes:
            if type(found) is Crowded:
                return CROWDED
            if isinstance(found, ServerError):
                note_around(runtime, found)
            return MISSED
        times = read_times(found)
        if times is None or not 0 < times[2] < 2**53:
            self._note_corrupt(runtime)
            return UNREADABLE
        flags, of_life, stamp, stored_at, fresh_for, grace_for, due_after = times
        now = time() * 1e6 + runtime.store.offset_us  # `Store.now_us`, written out
        age_us = now - stored_at
        if of_life != life or not age_us < grace_for:
            return MISSED
        if flags & OWNED or self._guarded:
            value = self._open(runtime, key, args, found, flags, stamp)
            if type(value) is Missed:
                return value
        else:  # what `_open` does where anybody may have it, in fewer steps
            try:
                value = self.codec.decode(flags & ~INVALIDATED, found, HEADER_SIZE)
            except CorruptEntry as broken:
                self._note_corrupt(runtime, broken)
                return Missed(int(stamp))
            tallied = runtime.tallies.counts
            reads = tallied.get(key)
            if reads is None:
                runtime.tallies.add(key, self.options)
            else:
                tallied[key] = reads + 1
        if not age_us < due_after:
            runtime.ask(self, args, key, int(stamp))
            if not age_us < fresh_for:
                runtime.counts.add("reads_stale")
                if self.options.soft_s:
                    return Missed(int(stamp), (value, now, found, times))
        return value, now, found, times

    def _open(self, runtime: Runtime, key: bytes, args: Args, blob: bytes, flags: int, stamp: float) -> Any:
        """The value in a blob, counted as read; Missed if it is another's or can't be decoded."""
        owner = owner_in(flags, blob)
        if self._is_foreign(owner, args):
            self._note_foreign(runtime)
            return Missed(int(stamp))
        seal = None if self.sealer is None else self.sealer.of_entry(key, owner)
        try:
            value = self.codec.decode(flags & ~INVALIDATED, blob, HEADER_SIZE, seal)
        except CorruptEntry as broken:
            self._note_corrupt(runtime, broken)
            return Missed(int(stamp))
        runtime.tallies.add(key, self.options)
        return value

    def _note_corrupt(self, runtime: Runtime, broken: CorruptEntry | None = None) -> None:
        kind, text = "corrupt_entries", "an entry of %s can't be read; it is loaded anew"
        if isinstance(broken, EntryNotOpened):
            kind, text = (
                "unopened_entries",
                f"an entry of %s is not served: {broken.reason}; it is loaded anew",
            )
        runtime.incidents.note(kind, text, self.name, about=self.name)

    def _note_foreign(self, runtime: Runtime) -> None:
        text = "under a key of %s is another owner's value; it is not served"
        runtime.incidents.note("foreign_entries", text, self.name, about=self.name)

    def _is_foreign(self, owner: bytes, args: Args) -> bool:
        """Whether a blob that says whose it is by this is another's."""
        return (self.scoped or owner != PUBLIC_OWNER) and owner != self.owner_of(self.params(args))

    def entry_of(self, key: bytes, args: Args, seen: Seen) -> Entry[R]:
        """What a read tells of what it saw."""
        value, now, blob, (flags, _, stamp, stored_at, fresh_for, _, due_after) = seen
        age_us = now - stored_at
        state, front = state_of(age_us, due_after, fresh_for), front_of(flags, blob)
        age_s, cost_s = max(0.0, age_us / 1e6), cost_in(blob) / 1e6
        return Entry(value, age_s, state, int(stamp), cost_s, key.decode(), 0.0, front, (self, args))

    def may_join(self, runtime: Runtime, key: bytes, miss: str | None = None) -> bool:
        """Whether a reader need not look: others here found nothing, and what they wait for is good for it.

        A flight's own question is asked for those who have joined before it, so it is as good as a GET.
        """
        return key in runtime.missing and self.joins and miss != "raise"

    def crowd(self, runtime: Runtime, key: bytes, miss: str | None) -> Reader | None:
        """The threads that a reader here may wait with, without a look of its own."""
        return runtime.crowds.find(key) if self.joins and miss != "raise" else None

    def wish(
        self, runtime: Runtime, key: bytes, args: Args, missed: Missed, miss: str
    ) -> tuple[EntryKey, Mapping[str, Any], Reader]:
        """What a reader that found nothing of use joins with. Raises CacheMiss."""
        entry, params = runtime.joined(key) or (self.entry(args), self.params(args))
        if miss == "raise":
            raise CacheMiss(self.name, entry.params)
        told = missed.stale is None
        return entry, params, Reader(newer_than=missed.newer_than, told=told, loads=miss == "load")

    def wait_for(
        self, load: Handover[Outcome], missed: Missed, waited_s: float
    ) -> Handover[Outcome] | Within:
        """What a reader waits for that has waited so long: only for a while if it can be served stale."""
        return load if missed.stale is None else Within(load, max(0.0, self.options.soft_s - waited_s))

    def settle(
        self,
        runtime: Runtime,
        key: bytes,
        args: Args,
        outcome: Outcome | None,
        waited_s: float,
        stale: Seen | None = None,
    ) -> Entry[R] | Missed:
        """The entry that a flight gave; Missed if it is unreadable or another's.

        outcome: None when the load took longer than the reader waits. Raises what the load did, unless there
        is a stale value to serve instead.
        """
        if stale is not None and (outcome is None or outcome.error is not None):
            if outcome is None:
                text = "%s is served stale: its load takes longer than soft_timeout=%g s"
                soft_s = self.options.soft_s
                runtime.incidents.note("soft_timeouts", text, self.name, soft_s, about=self.name)
            return replace(self.entry_of(key, args, stale), waited=waited_s)
        assert outcome is not None
        if outcome.kind == "found":
            seen = self.hit(runtime, key, args, *outcome.found)
            return seen if isinstance(seen, Missed) else self.entry_of(key, args, seen)
        if outcome.error is not None:
            _raise_anew(outcome.error)
        return self._told(runtime, key, args, outcome, waited_s)

    def _told(
        self, runtime: Runtime, key: bytes, args: Args, outcome: Outcome, waited_s: float
    ) -> Entry[R] | Missed:
        header, opened = outcome.header(), outcome.opened
        if header is None or not 0 <= header.stamp < 2**53:
            self._note_corrupt(runtime)
            return UNREADABLE
        if opened is not None:  # by another of those who are told
            (value,) = opened
            runtime.tallies.add(key, self.options)
        else:
            value = self._open(runtime, key, args, outcome.blob, header.flags, header.stamp)
            if type(value) is Missed:
                return value
            if self._shares:
                outcome.opened = (value,)
        now = runtime.store.now_us()
        age_s = max(0.0, (now - header.stored_at) / 1e6)
        state: EntryState = "loaded"
        if outcome.kind == "committed" and age_s > waited_s:
            state = state_of(now, header.due_at, header.fresh_until)
        front = front_of(header.flags, outcome.blob)
        stamp, cost_s = int(header.stamp), header.cost_us / 1e6
        return Entry(value, age_s, state, stamp, cost_s, key.decode(), waited_s, front, (self, args))

    def check_identity(self, args: Args) -> None:
        """Within `identity(...)`, a scoped read for anybody else is refused. Raises IdentityRefused."""
        scope, acting = self.dependencies.scope, identity.get()
        if scope is None or acting is None or scope not in acting:
            return
        kind = self.keys.types[scope]
        try:
            acts_for = kind.encode(kind.check(acting[scope]))
        except Misfit as misfit:
            if acting[scope] is None:  # nobody: a request that has not logged in
                raise IdentityRefused(self.name, scope) from None
            raise ParamError(self.name, f"identity({scope}=...)", misfit.shown, misfit.expected) from None
        if acts_for != kind.encode(self.params(args)[scope]):
            raise IdentityRefused(self.name, scope)

    # -- what it is

    def params(self, args: Args) -> dict[str, Any]:
        """Canonical arguments by name."""
        return dict(zip(self.keys.names, args, strict=True))

    def entry(self, args: Args) -> EntryKey:
        """The key of the entry with these canonical arguments."""
        positional, keywords = self.keys.call(args)
        return self.keys.entry(*positional, **keywords)

    def names_of(self, params: Mapping[str, Any], entry: EntryKey) -> Names:
        """The entry's names."""
        return self.dependencies.names_of(params, entry.tail[1:])

    def owner_of(self, params: Mapping[str, Any]) -> bytes:
        """The digest of the entry's owner."""
        return self.dependencies.owner_of(params)

    @property
    def is_private(self) -> bool:
        """Whether what it loads, and what errors quote of that, is not for everybody who runs the system."""
        return self.options.sensitive or self.dependencies.scope is not None

    def seal_of(self, key: bytes, owner: bytes) -> Seal | None:
        """What seals and opens the entry of this key and this digest of an owner; None: it is not sealed."""
        return None if self.sealer is None else self.sealer.of_entry(key, owner)

    def encode(
        self, value: Any, entry: EntryKey, params: Mapping[str, Any], found: Collection[str] = ()
    ) -> tuple[int, bytes]:
        """Flags and payload of an entry's value, with the names that its load found."""
        owner = self.owner_of(params)
        return self.codec.encode(value, found, self.seal_of(entry.key.encode(), owner), owner)

    def call(self, params: Mapping[str, Any]) -> Any:
        """Run the function, with its resources opened: the value, or a coroutine of it.

        Inside a load, what it stands under is noted: the outer value depends on it, too.
        """
        args = tuple(params[name] for name in self.keys.names)
        positional, keywords = self.keys.call(args)
        around = past.get()
        if around is not None and around.loading:
            around.found.update(self.names_of(params, self.entry(args)).handed_on())
            if self.dependencies.auto and around.reads is None:
                around.reads = Reads()
        if self.is_async:
            return self._awaited(self.fn, positional, keywords)
        with self._opened() as resources:
            return self.fn(*resources, *positional, **keywords)

    def call_many(self, many: Sequence[Mapping[str, Any]]) -> Any:
        """Run the batch loader, with its resources opened: the values in this order, or a coroutine."""
        assert self.batch is not None
        around = past.get()
        if around is not None and self.dependencies.auto and around.reads is None:
            around.reads = Reads()  # what the run read is what each of its entries depends on
        calls = [tuple(params[name] for name in self.keys.names) for params in many]
        if inspect.iscoroutinefunction(self.batch):
            return self._awaited(self.batch, (calls,), {})
        with self._opened() as resources:
            return self.batch(*resources, calls)

    async def _awaited(self, fn: Callable[..., Any], positional: Args, keywords: dict[str, Any]) -> Any:
        async with contextlib.AsyncExitStack() as stack:
            resources = []
            for factory in self.resources.values():
                made = factory()
                if hasattr(made, "__aenter__"):
                    made = await stack.enter_async_context(made)
                elif hasattr(made, "__enter__"):
                    made = stack.enter_context(made)
                elif hasattr(made, "aclose"):
                    stack.push_async_callback(made.aclose)
                elif hasattr(made, "close"):
                    stack.callback(made.close)
                resources.append(made)
            return await fn(*resources, *positional, **keywords)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[list[Any]]:
        with contextlib.ExitStack() as stack:
            resources = []
            for factory in self.resources.values():
                made = factory()
                if hasattr(made, "__enter__"):
                    made = stack.enter_context(made)
                elif hasattr(made, "close"):
                    stack.callback(made.close)
                resources.append(made)
            yield resources


def state_of(now_us: float, due_at: float, fresh_until: float) -> EntryState:
    """How an entry within its grace stands: all of the server's clock, or all since it was stored."""
    if now_us < due_at:
        return "fresh"
    return "early" if now_us < fresh_until else "stale"


def note_around(runtime: Runtime, exc: ServerError) -> None:
    """A read goes past the server, which can't do its part."""
    runtime.incidents.note("reads_around", "reads go around Redis: %s", exc, about=type(exc).__name__)


def _raise_anew(error: BaseException) -> NoReturn:
    """Raise an error that many readers share: each its own, so that no traceback grows with their number."""
    if isinstance(error, WarmerError):
        raise type(error)(*error.args) from error.__cause__
    raise error
