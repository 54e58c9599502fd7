"""The settings themselves: what each means, and what too low, too high and special values do.

docs/configuration.md is made from this file (`python -m warmer.settings.page`), and a test compares them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from warmer.errors import ConfigurationError, mask
from warmer.settings import checks, sources
from warmer.settings.embedded import embedded_address
from warmer.settings.kinds import (
    Choice,
    Count,
    Kind,
    Live,
    Names,
    SealKeys,
    Seconds,
    dotted,
    label,
    secret,
    url,
)

IDENTITY_PARAMS = (
    "user", "user_id", "username", "owner", "owner_id", "account", "account_id", "customer", "customer_id",
    "member", "member_id", "tenant", "tenant_id", "profile_id", "session_id", "email",
)  # fmt: skip


LABEL = "a name of letters, digits and . _ -, at most 64, that begins with a letter or a digit"


@dataclass(frozen=True, slots=True)
class About:
    """What the documentation says about a setting."""

    kind: Kind
    means: str
    low: str = ""
    high: str = ""
    special: str = ""


def setting(default: object, kind: Kind, means: str, low: str = "", high: str = "", special: str = "") -> Any:
    """Declare a field with its default, its kind and what its documentation says."""
    return field(default=default, metadata={"about": About(kind, means, low, high, special)})


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Settings:
    """One namespace's settings, made once by `Settings.load` and passed to whoever needs them.

    Durations are seconds, sizes are bytes. The first source counts: keyword, environment, pyproject.toml,
    default.
    """

    namespace: str = field(metadata={"about": About(label(LABEL), "The namespace's name.")})
    # Which settings were given by some source. What is not is a default, or follows from others.
    given: frozenset[str] = frozenset()

    redis_url: str = setting(
        "redis://127.0.0.1:6379/0",
        url(
            "redis",
            "rediss",
            "unix",
            "redis+sentinel",
            "rediss+sentinel",
            "redis+cluster",
            "rediss+cluster",
        ),
        "Where entries, leases, the fence and the due index are: a Redis 7.0 or newer, or a Valkey.",
        special="`rediss://` speaks TLS; `unix:///path/to/socket?db=0` uses a socket file; "
        "`redis+sentinel://host:port,host:port,host:port/service/db` follows the primary that sentinels name "
        "(docs/howto/sentinel.md), and `redis+cluster://host:port,host:port,host:port` the node of a cluster "
        "that has the namespace's slot (docs/howto/cluster.md). Unset: the server "
        "that `warmer up` has built in, where it has run in this folder or one above (`.warmer/redis.url`).",
    )
    broker_url: str = setting(
        None,
        url(optional=True),
        "Where Celery's messages go. Any broker of Celery's works.",
        special="Unset: the same server as `redis_url`, in Celery's way of writing it.",
    )
    database_url: str | None = setting(
        None,
        url(optional=True),
        "The SQL database, for your own `tasks/db.py` and for the outbox.",
        special="Unset: the project's own default (the reference deployment: a SQLite file).",
    )
    app: str = setting(
        "tasks",
        dotted("the dotted name of a module"),
        "The package that holds the namespace and the queries; its submodules are imported.",
    )
    schedules: str = setting(
        "schedules",
        dotted("the dotted name of a module"),
        "The package that holds the plans. Missing, there are the plans of `app` only.",
    )
    queue: str = setting(
        None,
        label(LABEL, optional=True),
        "The Celery queue that this namespace's tasks are sent to, and that its workers take from.",
        special="Unset: the namespace's name.",
    )
    shards: int = setting(
        1,
        Count(1, 16384),
        "How many units of atomicity the namespace has. Recorded in Redis: who differs refuses to start.",
        low="Nothing is lost by 1: a server runs one script at a time, however many shards there are.",
        special="With `redis+cluster://` it must be 1: a namespace is one slot, and on one node at a time.",
        high="Every invalidation that is not of a single entry goes to each shard.",
    )
    max_connections: int = setting(
        64,
        Count(2, 10_000),
        "How many connections to Redis a process may have open at once.",
        low="Threads wait for a connection, which shows in the latency of reads.",
        high="The server runs into its own `maxclients` when many processes start.",
    )
    command_timeout: float = setting(
        1.0,
        Seconds(0.01, 60),
        "How long one command may take until Redis counts as away.",
        low="A short pause of the server (a fork for a snapshot) sends readers to the database.",
        high="Readers hang that long when the server hangs.",
    )
    connect_timeout: float = setting(
        1.0,
        Seconds(0.01, 60),
        "How long making a connection to Redis may take until it counts as away.",
        low="A distant or busy server looks as if it were away.",
        high="Readers hang that long when the server's host is gone.",
    )
    lease: float = setting(
        10.0,
        Seconds(0.2, 300),
        "How long the right to load an entry lasts without a heartbeat; a live load extends it by itself.",
        low="A pause of the process (garbage, a busy host) loses its lease, and its load is done again.",
        high="When a process dies, the entry it was loading waits that long for the next one.",
    )
    claim: float = setting(
        10.0,
        Seconds(0.2, 300),
        "How long an entry that was handed to the queue isn't handed out again: what a lost message costs.",
        low="A queue that is slower than this gets the same entry twice; the second message does nothing.",
        high="After a lost message, the entry is refreshed that much later.",
    )
    sweep_interval: float = setting(
        0.2,
        Seconds(0.02, 10),
        "How often the scheduler looks for what is due.",
        low="Costs one script call a shard each time.",
        high="Refreshes begin up to this much later; they are planned earlier by the same measure.",
    )
    max_loads: int = setting(
        16,
        Count(1, 1000),
        "How many loads a process runs at once; more wait for their turn.",
        low="Readers of many cold entries wait for each other.",
        high="A cold start sends that many queries to the database at once, from every process.",
    )
    redis_away_loads: int = setting(
        4,
        Count(1, 1000),
        "The same bound while Redis is away, when nothing keeps processes from loading the same entry.",
        low="More reads fail with `TooManyLoads` while Redis is away.",
        high="Redis's absence becomes the database's: this times the number of processes is its load.",
    )
    reader_refresh: str = setting(
        "overdue",
        Choice(("overdue", "never")),
        "Whether a reader refreshes an entry in the background when no worker has done so.",
        special="`overdue`: when it's overdue by more than `claim`. `never`: only workers refresh.",
    )
    invalidate_timeout: float = setting(
        1.0,
        Seconds(0.01, 60),
        "How long an invalidation at a commit may take until it's left to the relay, and logged.",
        low="A busy server leaves more to the relay, and the promise holds a moment later.",
        high="A commit takes that long when Redis is away.",
    )
    invalidate_replicas: int = setting(
        0,
        Count(0, 100),
        "How many replicas must have confirmed an invalidation before it returns (`WAIT`).",
        low="An invalidation may have reached no replica when it returns.",
        high="With a replica away, each invalidation takes `invalidate_timeout` and then raises "
        "`InvalidationNotReplicated`, though it's applied.",
        special="0: none. Nothing stored before a failover is served after it, whether they have it or not.",
    )
    invalidate_through: str = setting(
        "direct",
        Choice(("direct", "outbox")),
        "How what is invalidated by hand (`invalidate...`, `forget`, `writing`) takes effect: at once, or "
        "recorded in the outbox first, as tracked writes are. Must be the same in every process that writes "
        "or invalidates.",
        special="outbox: entries are served again after a restart or failover of Redis, once what was "
        "invalidated since the data it came back with has been invalidated again. Each invalidation by hand "
        "costs a transaction. To go back: `warmer db direct`.",
    )
    strict_max_entries: int = setting(
        10_000,
        Count(1, 10_000_000),
        "How many entries of strict queries a transaction may drop before its COMMIT.",
        low="Transactions that change much for strict queries fail, and change nothing.",
        high="A COMMIT waits until all are dropped, with its rows locked: about 20 ms for 1,000.",
    )
    relay_interval: float = setting(
        1.0,
        Seconds(0.02, 60),
        "How often the scheduler looks for changes in the outbox that their writers have not applied.",
        low="Costs one small query of the database each time.",
        high="What a writer that died has left, and what `record` wrote, takes effect that much later.",
    )
    triggers_notify: str = setting(
        "always",
        Choice(("always", "never")),
        "Whether triggers of PostgreSQL wake the scheduler's relay (NOTIFY), in place of leaving what they "
        "write to its next look. Read when triggers are installed: `warmer db triggers --install`.",
        special="never: for where more than some thousand transactions a second write without being tracked, "
        "since PostgreSQL lets those that notify commit one by one.",
    )
    replay_window: float = setting(
        86_400.0,
        Seconds(0, 30 * 86_400),
        "How long applied changes are kept in the outbox, from when they were applied.",
        low="After a restart of Redis from a snapshot older than this, nothing in it is trusted.",
        high="The outbox table is that much larger.",
    )
    identity_params: tuple[str, ...] = setting(
        IDENTITY_PARAMS,
        Names(),
        "The names of params that look like an identity: a query that has one must say its `scope`.",
        special="Empty: nothing must be said. That is how one user's data gets shown to another.",
    )
    compress_over: int = setting(
        2048,
        Count(0, 1 << 30),
        "Values of more bytes than this are compressed (zstd).",
        low="Small values cost time at every read and hardly shrink.",
        high="Redis needs more memory, and large values more time on the network.",
        special="0: compress all. Above `max_value_bytes`: compress none.",
    )
    max_value_bytes: int = setting(
        16 << 20,
        Count(1024, 512 << 20),
        "The largest value that is stored, in bytes, as it is stored.",
        low="Queries with large results fail with `ResultTooLarge`.",
        high="One such value holds up every other command of its server while it's sent.",
    )
    tally_interval: float = setting(
        2.0,
        Seconds(0.05, 60),
        'How often a process sends its counts of reads, for `keep_warm="while_read"` and the metrics.',
        low="More script calls.",
        high="What is read is kept warm, and shown, that much later; a killed process loses as much.",
    )
    near_max_bytes: int = setting(
        64 << 20,
        Count(0, 1 << 40),
        "How many bytes of memory a process may use for near copies, of all its queries with `near=`.",
        low="Copies make room for each other before they are read again, and reads go to Redis.",
        high="Every process of the service needs that much more memory.",
        special="0: none are kept.",
    )
    near_max_entries: int = setting(
        10_000,
        Count(1, 10_000_000),
        "How many near copies a process may keep, whatever their size.",
        low="As with `near_max_bytes`.",
        high="Many small copies take more memory than their bytes say.",
    )
    verify_interval: float = setting(
        0.0,
        Seconds(0, 86400),
        "How often each scheduler holds an entry, drawn by chance, against the database (`warmer verify`).",
        low="Loads that serve no reader.",
        high="What nothing invalidates is found later, or not at all.",
        special="0: never.",
    )
    seal_key: tuple[bytes, ...] | None = setting(
        None,
        SealKeys(),
        "The secret that private entries are sealed with in Redis; the same in every process, and in no file "
        "of the repository. See docs/howto/private-data.md.",
        special="Several keys: the first one seals, all of them open, so that keys can be changed. Unset: "
        "private entries are in the clear, and `sensitive=True` is an error. Needs "
        "`pip install 'warmer[sealed]'`.",
    )
    flower_password: str | None = setting(
        None,
        secret("a password that is not empty"),
        "The password of the Flower page.",
        special="Unset: a new one is made at each start and printed there.",
    )
    purge_url: str | None = setting(
        None,
        url("http", optional=True),
        "A Varnish that runs docs/varnish.vcl: pages in it are purged when what they show has changed.",
        special="Unset: nothing is purged, and shared caches are told to ask each time.",
    )
    purge_wait: float = setting(
        0.5,
        Seconds(0, 60),
        "How long an invalidation waits for its purge until that goes on by itself.",
        low="An invalidation may return while a shared cache still serves the old page.",
        high="Whoever invalidates waits that long when the cache hangs.",
        special="0: invalidations don't wait for purges.",
    )
    purge_again: float = setting(
        3.0,
        Seconds(0, 600),
        "How long after a purge it's sent again, for pages that were on their way to the cache meanwhile.",
        low="A page that takes longer from its read to the cache is kept there, old, until its time is over.",
        high="Such a page is served that much longer.",
        special="0: it's not sent again.",
    )
    purger: Any = setting(
        None,
        Live("an object with a method purge(keys)", lambda one: callable(getattr(one, "purge", None))),
        "A `warmer.http.Purger` in place of `purge_url`: several Varnishes, Fastly, Cloudflare, your own.",
        special="As a keyword only.",
    )
    around_load: Callable[..., Any] | None = setting(
        None,
        Live("a function that returns a context manager", callable),
        "A function that returns a context manager; each load runs inside it (tracing, an app's context).",
        special="As a keyword only.",
    )
    celery: Any = setting(
        None,
        # Of its class: to look at an application's `tasks` would bind them before it is configured.
        Live("a Celery application", lambda app: hasattr(app, "send_task") and hasattr(type(app), "tasks")),
        "An existing Celery application to host the tasks; its own options stay as they are.",
        special="As a keyword only. Unset: one is made.",
    )

    @classmethod
    def load(
        cls,
        namespace: str,
        overrides: Mapping[str, object] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> Settings:
        """Merge keywords, `WARMER_*` variables, the nearest pyproject.toml and the defaults.

        Args:
            namespace: letters, digits and `. _ -`, at most 64.
            overrides: keywords, the strongest source.
            environ: in place of the process's environment.
            folder: where the search for a pyproject.toml begins; by default the working directory.

        Raises:
            ConfigurationError: with every problem at once: unknown names (and what was probably meant),
                values that don't fit, settings that contradict each other. Nothing is connected to.

        """
        kinds = kinds_of_settings()
        found = sources.Found()
        found.add("namespace", namespace, "the namespace", kinds["namespace"])
        del kinds["namespace"]
        place = folder or Path.cwd()
        found.add_all(sources.from_pyproject(place, kinds, found.problems))
        found.add_all(
            sources.from_environment(os.environ if environ is None else environ, kinds, found.problems)
        )
        found.add_all(sources.from_keywords(overrides or {}, kinds, found.problems))
        values = {f.name: f.default for f in fields(cls) if f.name in kinds} | found.values
        if "redis_url" not in found.values:
            values["redis_url"] = embedded_address(place) or values["redis_url"]
        if not found.problems:
            found.problems.extend(checks.contradictions(values, found.origins))
        if found.problems:
            raise ConfigurationError(tuple(found.problems))
        return cls(**checks.complete(values), given=frozenset(found.values) - {"namespace"})

    @property
    def redis_is_embedded(self) -> bool:
        """Whether nobody named a server, so that `warmer up` brings its own."""
        return "redis_url" not in self.given

    def __repr__(self) -> str:
        """Every setting, with passwords masked."""
        shown = (f"{name}={self._shown(name, kind)}" for name, kind in kinds_of_settings().items())
        return f"Settings({', '.join(shown)})"

    def _shown(self, name: str, kind: Kind) -> str:
        value = getattr(self, name)
        hidden = getattr(kind, "secret", False) and value is not None
        return "'***'" if hidden else mask(repr(value))


def kinds_of_settings() -> dict[str, Kind]:
    """The kind of each setting by its name, in the order of the page; `namespace` comes first."""
    return {one.name: one.metadata["about"].kind for one in fields(Settings) if one.metadata}
