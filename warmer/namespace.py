"""The namespace: where queries and plans are declared, and what invalidates across them."""

from __future__ import annotations

import contextlib
import inspect
import os
import threading
import warnings
import weakref
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar, overload

from warmer import invalidation
from warmer.core.names import tag_name
from warmer.core.params import Misfit
from warmer.declaration import UNSAID, Public, declare
from warmer.errors import (
    DuplicatePlan,
    DuplicateQuery,
    InvalidOption,
    ParamError,
    UnknownPlan,
    UnknownQuery,
    did_you_mean,
    hint,
    show,
)
from warmer.errors.notices import WarmerWarning
from warmer.handle import Handle
from warmer.near.query import NearAsyncQuery, NearQuery
from warmer.near.reading import NearReading
from warmer.options import AdaptiveTtl
from warmer.outbox.process import Outbox
from warmer.places import enclosed_differently, place, told
from warmer.plans import Plan, Trigger, read_rate
from warmer.query import AsyncQuery, Query
from warmer.reading import Reading
from warmer.runtime.modes import identity, past
from warmer.runtime.process import Runtime
from warmer.settings import Settings

if TYPE_CHECKING:
    from warmer.capture.tracking import Tracker
    from warmer.outbox.recording import Recorded
    from warmer.store.heard import Heard

# A fork may come while another thread holds a lock, which nobody gives back in the child.
_namespaces: weakref.WeakSet[Warmer] = weakref.WeakSet()

P = ParamSpec("P")
R = TypeVar("R")
Entries = TypeVar("Entries", bound=Callable[[], Iterable[Handle[Any]]])
Duration = float | timedelta
Ttl = float | timedelta | AdaptiveTtl


class Decorator(Protocol):
    """What `cached(...)` gives: it makes a query of a function, typed as the function is."""

    @overload
    def __call__(self, fn: Callable[P, Awaitable[R]], /) -> AsyncQuery[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Query[P, R]: ...


class ResourceDecorator(Protocol):
    """The same where the function's first param is a resource, which the call does not have."""

    @overload
    def __call__(self, fn: Callable[Concatenate[Any, P], Awaitable[R]], /) -> AsyncQuery[P, R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Any, P], R], /) -> Query[P, R]: ...


class Warmer:
    """A namespace of queries and plans. Making one connects to nothing.

    settings: see docs/configuration.md; what is not given here comes from WARMER_... in the environment, then
    from [tool.warmer] in pyproject.toml. Raises ConfigurationError with every problem at once.
    """

    def __init__(self, namespace: str, /, **settings: Any) -> None:
        self.namespace = namespace
        self.settings = Settings.load(namespace, settings)
        self.queries: dict[str, Query[Any, Any]] = {}
        self.plans: dict[str, Plan] = {}
        self._readings: dict[str, Reading[Any]] = {}
        self._on_query: list[Callable[[Reading[Any]], None]] = []
        self._runtime: Runtime | None = None
        self._lock = threading.Lock()
        self._celery: Any = None
        self.outbox = Outbox(self)
        self._tracker: Tracker | None = None
        self._acted_for: set[str] = set()
        _namespaces.add(self)
        if self.settings.celery is not None:
            _ = self.celery  # an application that is there already gets our tasks as they are declared

    def __repr__(self) -> str:
        """Its name."""
        return f"<Warmer {self.namespace!r}: {len(self.queries)} queries, {len(self.plans)} plans>"

    # -- declaring

    @overload
    def cached(
        self, *, ttl: Ttl, resources: Mapping[str, Callable[[], Any]], grace: Duration | None = ...,
        name: str | None = ..., version: str | None = ..., depends_on: Mapping[Any, Any] | str = ...,
        tags: Collection[str] = ..., scope: str | Public = ..., keep_warm: bool | Literal["while_read"] = ...,
        idle_after: Duration | None = ..., max_kept: int = ...,
        consistency: Literal["eventual", "strict"] = ..., stale_after_write: Duration = ...,
        min_interval: Duration = ..., miss: Literal["load", "wait", "raise"] = ..., wait: Duration = ...,
        timeout: Duration = ..., soft_timeout: Duration = ..., early: float = ..., near: Duration = ...,
        source_lag: Duration = ...,
        batch: Callable[..., Any] | None = ..., sensitive: bool = ..., browser_max_age: Duration = ...,
        queue: str | None = ..., priority: int | None = ...,
    ) -> ResourceDecorator: ...  # fmt: skip
    @overload
    def cached(
        self, *, ttl: Ttl, grace: Duration | None = ..., name: str | None = ...,
        version: str | None = ..., depends_on: Mapping[Any, Any] | str = ..., tags: Collection[str] = ...,
        scope: str | Public = ..., keep_warm: bool | Literal["while_read"] = ...,
        idle_after: Duration | None = ..., max_kept: int = ...,
        consistency: Literal["eventual", "strict"] = ..., stale_after_write: Duration = ...,
        min_interval: Duration = ..., miss: Literal["load", "wait", "raise"] = ..., wait: Duration = ...,
        timeout: Duration = ..., soft_timeout: Duration = ..., early: float = ..., near: Duration = ...,
        source_lag: Duration = ...,
        batch: Callable[..., Any] | None = ..., sensitive: bool = ..., browser_max_age: Duration = ...,
        queue: str | None = ..., priority: int | None = ...,
    ) -> Decorator: ...  # fmt: skip
    def cached(
        self,
        *,
        ttl: Ttl,
        resources: Mapping[str, Callable[[], Any]] | None = None,
        grace: Duration | None = None,
        name: str | None = None,
        version: str | None = None,
        depends_on: Mapping[Any, Any] | str = {},
        tags: Collection[str] = (),
        scope: str | Public = UNSAID,
        keep_warm: bool | Literal["while_read"] = "while_read",
        idle_after: Duration | None = None,
        max_kept: int = 10_000,
        consistency: Literal["eventual", "strict"] = "eventual",
        stale_after_write: Duration = 0,
        min_interval: Duration = 0,
        miss: Literal["load", "wait", "raise"] = "load",
        wait: Duration = 5,
        timeout: Duration = 30,
        soft_timeout: Duration = 0,
        early: float = 1.0,
        near: Duration = 0,
        source_lag: Duration = 0,
        batch: Callable[..., Any] | None = None,
        sensitive: bool = False,
        browser_max_age: Duration = 0,
        queue: str | None = None,
        priority: int | None = None,
    ) -> Any:
        """Make a query of a function: its result is kept in Redis, warm and right.

        Durations are seconds or timedeltas. ttl: how long an entry is fresh; adaptive(least, most) learns
        it. grace: how long after that it may be served stale (default: ttl). name: default the function's
        dotted path. version: default a digest of the return type. depends_on: {Table: columns that equal
        params of these names}, or "auto". tags: texts with {params}. consistency: "strict" closes the moment
        between a COMMIT and its invalidation; see docs/howto/strict.md.
        scope: PUBLIC, or the param whose identity alone may see the result. resources: {"session":
        SessionLocal}, opened for each load and given as the first arguments. keep_warm: "while_read" · True ·
        False, for at most max_kept entries, until unread for idle_after (default: 2 ttl). stale_after_write:
        how long an invalidated value may still be served. min_interval: between two loads. miss: "load" ·
        "wait" · "raise". batch: loads what a `get_many` misses: batch(*resources, [(param, ...), ...]) gives
        a list of results in that order, an exception for one that failed. wait: for another's load. timeout:
        of a load. soft_timeout: how long the reader of a stale entry waits for a fresh one (0: not at all, it
        is refreshed behind the reader). early: beta of XFetch, 0 is off. sensitive: never near, never to HTTP
        caches, sealed (needs the setting seal_key).
        browser_max_age: how long a browser may show it without asking.
        near: for how long this process may serve a copy of its own; see docs/howto/near-copies.md.
        source_lag: by how much the replica that its loads read from may be behind; docs/howto/replicas.md.

        Raises DecorationError where anything can't be meant; the query is not registered then.
        """
        options = {key: value for key, value in locals().items() if key not in ("self", "resources")}

        def decorate(fn: Callable[..., Any]) -> Query[Any, Any]:
            reading = declare(
                fn, settings=self.settings, runtime_of=self.runtime, name=name, version=version,
                depends_on=depends_on, tags=tags, scope=scope, options=options, resources=resources or {},
            )  # fmt: skip
            return self._register(reading, named=name is not None)

        return decorate

    def plan(
        self, trigger: Trigger, *, rate: str | float | None = None, name: str | None = None
    ) -> Callable[[Entries], Entries]:
        """Make a plan of a generator of handles: `trigger` says when they are loaded, `rate` how fast.

        Raises InvalidOption, DuplicatePlan.
        """

        def decorate(entries: Entries) -> Entries:
            called: str = name if name is not None else str(getattr(entries, "__name__", ""))
            if not hasattr(trigger, "next_after"):
                raise InvalidOption(called, "trigger", show(trigger), "cron(...) or every(...)")
            where = place(entries)
            known = self.plans.get(called)
            if known is not None and place(known.entries) != where:
                raise DuplicatePlan(called, place(known.entries), where)
            about = inspect.getdoc(entries) or ""
            self.plans[called] = Plan(called, trigger, entries, read_rate(called, rate), about)
            return entries

        return decorate

    def query(self, name: str) -> Query[Any, Any]:
        """The query of this name, or the only one whose dotted name ends like this. Raises UnknownQuery."""
        if name in self.queries:
            return self.queries[name]
        ends = [known for known in self.queries if known.endswith(f".{name}")]
        if len(ends) == 1:
            return self.queries[ends[0]]
        last_parts = {known.rpartition(".")[2]: known for known in self.queries}
        meant = did_you_mean(name, self.queries) or last_parts.get(did_you_mean(name, last_parts) or "")
        raise UnknownQuery(name, tuple(sorted(self.queries)), meant)

    def find_plan(self, name: str) -> Plan:
        """The plan of this name. Raises UnknownPlan."""
        if name not in self.plans:
            raise UnknownPlan(name, tuple(sorted(self.plans)), did_you_mean(name, self.plans))
        return self.plans[name]

    # -- invalidating across queries

    def invalidate_tags(self, *tags: str) -> int:
        """Drop every entry under one of these tags; how many went."""
        return invalidation.invalidate_tags(self.runtime(), tags, self.stale_us)

    async def ainvalidate_tags(self, *tags: str) -> int:
        """`invalidate_tags`, from asyncio."""
        return await self.runtime().on_thread(self.invalidate_tags, *tags)

    def forget(self, **owner: Any) -> int:
        """Drop every entry private to one identity, as in forget(user_id=42); how many went."""
        if len(owner) != 1:
            raise InvalidOption(
                "forget", "the owner", show(owner), "one scope and its value, as in forget(user_id=42)"
            )
        scope, value = next(iter(owner.items()))
        removed = 0
        for token in self._owner_tokens(scope, value):
            removed += invalidation.forget(self.runtime(), scope, token)
        return removed

    async def aforget(self, **owner: Any) -> int:
        """`forget`, from asyncio."""
        return await self.runtime().on_thread(lambda: self.forget(**owner))

    def _owner_tokens(self, scope: str, value: Any) -> set[str]:
        kinds = [r.keys.types[scope] for r in self._readings.values() if r.dependencies.scope == scope]
        if not kinds:
            scopes = {r.dependencies.scope for r in self._readings.values() if r.dependencies.scope}
            known = f"a scope of a query ({hint(did_you_mean(scope, scopes), scopes).rstrip('.')})"
            raise InvalidOption("forget", "the owner", show(scope), known)
        tokens, misfit = set(), None
        for kind in kinds:
            try:
                tokens.add(kind.encode(kind.check(value)))
            except (
                Misfit
            ) as unfit:  # queries may disagree on the type of an identity: those it fits are meant
                misfit = unfit
        if not tokens and misfit is not None:
            raise ParamError("forget", scope, misfit.shown, misfit.expected)
        return tokens

    @property
    def heard(self) -> Heard | None:
        """What is known of the server's clock; None where it was never asked. No I/O."""
        runtime = self._runtime
        return runtime.store.heard if runtime is not None and runtime.pid == os.getpid() else None

    @property
    def stale_us(self) -> dict[str, int]:
        """`stale_after_write` of the queries that have one, in microseconds, by name."""
        return {
            name: us for name, reading in list(self._readings.items()) if (us := reading.options.stale_us)
        }

    # -- writes that invalidate by themselves

    def track(self, target: Any, /) -> None:
        """Have what is written through SQLAlchemy invalidate what depends on it, by itself.

        target: a Session class, a sessionmaker, an Engine, an AsyncEngine or an async_sessionmaker. From then
        on its transactions write what they change into the outbox (`warmer db create`), and when `commit()`
        returns, no read that begins later is older. Connects to nothing. Raises NotTrackable.
        """
        from warmer.capture.targets import track
        from warmer.capture.tracking import Tracker

        with self._lock:
            if self._tracker is None:
                self._tracker = Tracker(self)
            if self._runtime is not None:
                self._runtime.outcomes.tracks = True
        track(self, self._tracker, target)

    @property
    def tracks(self) -> bool:
        """Whether anything was given to `track` in this process."""
        return self._tracker is not None

    def record(
        self,
        connection: Any,
        table: Any,
        /,
        *,
        old: Mapping[str, Any] | None = None,
        new: Mapping[str, Any] | None = None,
    ) -> Recorded:
        """Write a change into the outbox, in the transaction of a writer that SQLAlchemy knows nothing of.

        connection: of a DB-API driver, of Django, or of SQLAlchemy. table: its name, a mapped class or a
        Table. old, new: values of the row's columns before and after, None where there was or is no row;
        neither: any row. The relay applies it after COMMIT; `apply()` of what this returns does it at once.
        Raises NotTrackable, and what the driver raises: the transaction must not be committed then.
        """
        from warmer.outbox.recording import record

        return record(self, connection, table, old, new)

    def relay(self) -> int:
        """Apply what is left in the outbox of every database known here, now; how many rows that were.

        A scheduler does so all the time. Raises DatabaseUnreachable, OutboxMissing, ServerError.
        """
        from warmer.outbox.relay import Relay

        return Relay(self, hold_s=0.0).step()

    # -- in a load, and around reads

    def tag(self, *tags: str) -> None:
        """Inside a load: the value stands under these tags, too.

        Where a query's function runs outside of one (`query.fn`, a test's `bypass`), no value is stored, and
        this does nothing.
        """
        mode = past.get()
        if mode is not None:
            mode.found.update(tag_name(tag) for tag in tags)

    @contextlib.contextmanager
    def identity(self, **owner: Any) -> Iterator[None]:
        """Within it, a scoped read for anybody else is refused with IdentityRefused."""
        for scope in owner.keys() - self._acted_for:
            self._look_for_slip(scope, owner)
        token = identity.set({**(identity.get() or {}), **owner})
        try:
            yield
        finally:
            identity.reset(token)

    def _look_for_slip(self, scope: str, owner: Mapping[str, Any]) -> None:
        """Warn, once, of an identity that no query is private to where another is nearly called so."""
        self._acted_for.add(scope)
        scopes = {r.dependencies.scope for r in self._readings.values() if r.dependencies.scope}
        meant = did_you_mean(scope, scopes - owner.keys())
        if scope not in scopes and meant is not None:
            text = f"identity({scope}=...) refuses nothing: no query has scope={scope!r}. Write {meant}=...?"
            warnings.warn(text, WarmerWarning, stacklevel=4)  # past this, the generator and contextlib

    # -- the process's part

    def runtime(self) -> Runtime:
        """This process's runtime: made at the first use, and anew after a fork. Raises ServerError."""
        runtime = self._runtime
        if runtime is not None and runtime.pid == os.getpid():
            return runtime
        with self._lock:
            if self._runtime is None or self._runtime.pid != os.getpid():
                runtime = Runtime(self.namespace, self.settings)
                for reading in self._readings.values():
                    runtime.declare(reading.dependencies)
                runtime.strict.on_trouble = self.outbox.attend_to_strict
                runtime.outcomes.tracks = self.tracks
                runtime.on_new_life = self.outbox.look_elsewhere
                if self.settings.invalidate_through == "outbox":
                    runtime.through = self.outbox.invalidate
                runtime.start()
                self._runtime = runtime
            return self._runtime

    def close(self) -> None:
        """Give back what this process holds and disconnect; the next use begins anew."""
        self.outbox.close()
        with self._lock:
            runtime, self._runtime = self._runtime, None
        if runtime is not None:
            runtime.close()

    def _begin_anew(self) -> None:
        """In a forked child: the runtime is its parent's, and so may the lock be."""
        self._lock, self._runtime = threading.Lock(), None
        self.outbox.begin_anew()

    @property
    def celery(self) -> Any:
        """The Celery application whose tasks are this namespace's queries. Imports Celery."""
        if self._celery is None:
            from warmer.worker.app import build

            self._celery = build(self)
        return self._celery

    @property
    def readings(self) -> Mapping[str, Reading[Any]]:
        """Every query by name, as workers and schedulers need it."""
        return self._readings

    def on_query(self, call: Callable[[Reading[Any]], None]) -> None:
        """Have `call` be told of each query: those that are there, and those still to come."""
        self._on_query.append(call)
        for reading in list(self._readings.values()):
            call(reading)

    def _register(self, reading: Reading[Any], *, named: bool) -> Query[Any, Any]:
        """named: whether its name was said; else one place under two names is a module imported twice."""
        here = place(reading.fn)
        for known in self._readings.values():
            same_name, same_place = known.name == reading.name, place(known.fn) == here
            if same_name != same_place and (same_name or not (named or here.startswith("<"))):
                if same_place and known.fn is reading.fn:
                    continue  # one function on purpose under two names
                raise DuplicateQuery(reading.name, told(known.fn), told(reading.fn))
            if same_name and (other := enclosed_differently(known.fn, reading.fn)):
                text = f"{told(reading.fn)} is made again as the query {reading.name!r} with another "
                text += f"{' and '.join(other)}: both have the same entries. Give each a name= of its own."
                warnings.warn(text, WarmerWarning, stacklevel=3)
        query: Query[Any, Any]
        # Who asks for a private entry is looked at on each read, so it takes the long way to its copy.
        if isinstance(reading, NearReading) and reading.dependencies.scope is None:
            query = NearAsyncQuery(reading) if reading.is_async else NearQuery(reading)
        else:
            query = AsyncQuery(reading) if reading.is_async else Query(reading)
        self._readings[reading.name] = reading
        if self._runtime is not None:
            self._runtime.declare(reading.dependencies)
        self.queries[reading.name] = query
        for call in self._on_query:
            call(reading)
        return query


def _after_fork() -> None:
    for namespace in list(_namespaces):
        namespace._begin_anew()


os.register_at_fork(after_in_child=_after_fork)

__all__ = ["Warmer"]
