"""Raised when a server can't be reached or is not what it must be."""

from __future__ import annotations

from warmer.errors.root import WarmerError, error


class ServerError(WarmerError):
    """Redis, the broker or the database can't do its part."""

    __module__ = "warmer.errors"


@error
class RedisUnreachable(ServerError):
    """No connection to Redis could be made, or it broke and could not be made again."""

    url: str
    cause: str

    def what(self) -> str:
        """What happened, without what was left unchanged and what to do next."""
        return f"Redis at {self.url} can't be reached: {self.cause.rstrip('.')}"

    def message(self) -> str:
        """Name the address and the cause."""
        return (
            f"{self.what()}. Nothing was changed in it. "
            "Start it (`warmer up` has one built in) or correct redis_url (WARMER_REDIS_URL)."
        )


@error
class TooManyConnections(ServerError):
    """Every connection of the process was in use for longer than a command may take."""

    max_connections: int
    waited_s: float

    def what(self) -> str:
        """What happened, without what was left unchanged and what to do next."""
        return (
            f"all {self.max_connections} connections to Redis (max_connections) were busy for "
            f"{self.waited_s:.3g} s"
        )

    def message(self) -> str:
        """Name the bound and its setting."""
        return (
            f"{self.what()}. "
            "Nothing was sent. Raise max_connections (WARMER_MAX_CONNECTIONS), or read from fewer threads."
        )


@error
class WrongRedisUrl(ServerError):
    """The Redis URL can't be read."""

    url: str
    reason: str

    def message(self) -> str:
        """Show the URL and the forms that work."""
        return (
            f"redis_url is {self.url!r}: {self.reason}. No connection was made. Write "
            "redis://[user:password@]host:port/db, rediss://... for TLS, unix:///path/to/socket?db=0, or, to "
            "follow a primary, redis+sentinel://[user:password@]host:port,host:port,host:port/service/db, or "
            "redis+cluster://[user:password@]host:port,host:port,host:port."
        )


#: How a node of a cluster answers that does not have the key.
_MOVED = "MOVED "


@error
class RedisRefused(ServerError):
    """Redis answered a command with an error: no memory, no permission, read only."""

    url: str
    command: str
    reason: str

    def message(self) -> str:
        """Name the command and the server's words."""
        remedy = "Correct the server (memory, ACL, role of the node) and try again."
        if self.reason.startswith(_MOVED):
            remedy = "It is a node of a Redis Cluster: set redis_url to redis+cluster:// and its nodes."
        said = f"Redis at {self.url} refused {self.command}: {self.reason}."
        return f"{said} The command changed nothing. {remedy}"


@error
class ServerTooOld(ServerError):
    """The server speaks, but is older than what the scripts need."""

    url: str
    found: str
    needed: str

    def message(self) -> str:
        """Name both versions."""
        return (
            f"the server at {self.url} is {self.found}; at least {self.needed} is needed. Nothing was "
            "changed in it. Use Redis 7.0 or newer, or Valkey."
        )


@error
class ShardCountDiffers(ServerError):
    """This process is set to another number of shards than the namespace was made with."""

    namespace: str
    recorded: int
    configured: int

    def message(self) -> str:
        """Name both counts."""
        return (
            f"the namespace {self.namespace!r} is recorded in Redis with {self.recorded} shard(s) and this "
            f"process is set to {self.configured}; they would not see each other's entries. Nothing was "
            f"changed. Set shards={self.recorded}, or use a new namespace for another count."
        )


@error
class ProtocolDiffers(ServerError):
    """The namespace was written by a release of Warmer that this one can't work beside."""

    namespace: str
    recorded: int
    supported: int

    def message(self) -> str:
        """Name both protocols."""
        return (
            f"the namespace {self.namespace!r} is recorded in Redis with protocol {self.recorded}; this "
            f"release speaks {self.supported}. Nothing was changed. Run one release everywhere, or use a new "
            "namespace."
        )


@error
class InvalidationUnconfirmed(ServerError):
    """An invalidation was sent, and Redis did not confirm it in time: it may or may not have happened."""

    names: tuple[str, ...]
    cause: str

    def message(self) -> str:
        """Name what it should have hit."""
        more = f" and {len(self.names) - 5} more" if len(self.names) > 5 else ""
        shown = ", ".join(self.names[:5]) + more
        return (
            f"the invalidation of {shown} could not be confirmed: {self.cause.rstrip('.')}. It may have been "
            "applied in part; readers may still get older values. Invalidate again once Redis answers: "
            "doing it twice does no harm."
        )


@error
class InvalidationNotReplicated(ServerError):
    """The primary has applied an invalidation; fewer replicas than asked for have confirmed it in time."""

    names: tuple[str, ...]
    confirmed: int
    wanted: int
    waited_s: float

    def message(self) -> str:
        """Name both numbers."""
        more = f" and {len(self.names) - 5} more" if len(self.names) > 5 else ""
        return (
            f"the invalidation of {', '.join(self.names[:5])}{more} is applied on the primary, and stays so: "
            f"no reader gets what it removed; {self.confirmed} of {self.wanted} replica(s) confirmed it "
            f"within {self.waited_s:g} s. Look at the replicas (INFO replication), or lower "
            "invalidate_replicas (WARMER_INVALIDATE_REPLICAS); invalidating again does no harm."
        )


@error
class BrokerUnreachable(ServerError):
    """The message broker can't be reached."""

    url: str
    cause: str

    def message(self) -> str:
        """Name the address and the cause."""
        return (
            f"the broker at {self.url} can't be reached: {self.cause}. Nothing was queued; "
            "entries stay due and are sent later. Start it or correct broker_url (WARMER_BROKER_URL)."
        )


@error
class DatabaseUnreachable(ServerError):
    """The database can't be reached."""

    url: str
    cause: str

    def message(self) -> str:
        """Name the address and the cause."""
        return (
            f"the database at {self.url} can't be reached: {self.cause}. Nothing was read or "
            "written there. Start it or correct database_url (WARMER_DATABASE_URL)."
        )


@error
class OutboxMissing(ServerError):
    """The database of a tracked transaction has no outbox table, so the transaction was not committed."""

    url: str
    cause: str

    def message(self) -> str:
        """Name the database and how to make the table."""
        return (
            f"the database at {self.url} has no outbox table: {self.cause.rstrip('.')}. Nothing was "
            "committed: changes that nobody hears of would leave old results in the cache. Run `warmer db "
            "create`, or let Alembic create what is in warmer.outbox.schema.metadata."
        )


@error
class OutboxOutdated(ServerError):
    """The outbox table is of an earlier release and lacks a column."""

    url: str
    statement: str

    def message(self) -> str:
        """Name the database and the statement that adds it."""
        return (
            f"the outbox table in the database at {self.url} is of an earlier release: it does not say in "
            "which life of Redis a row was applied. Changes are committed and applied as before, and stay in "
            f"it unmarked. Run `warmer db create`, or let Alembic do the same: {self.statement}."
        )


@error
class NotOneOutbox(ServerError):
    """Invalidations are to go through the outbox, and it is not known which one, or that can't be used."""

    namespace: str
    cause: str

    def message(self) -> str:
        """Name what stands in the way."""
        return (
            f"the invalidations of {self.namespace!r} are to go through the outbox, and {self.cause}. "
            'Nothing was invalidated. invalidate_through="outbox" needs one database with an outbox in every '
            "process that writes or invalidates, and the same one."
        )


@error
class BarrierNotRaised(ServerError):
    """What a transaction changes could not be barred for strict queries, so it was not committed."""

    names: tuple[str, ...]
    cause: str

    def message(self) -> str:
        """Name what could not be barred, and why."""
        more = f" and {len(self.names) - 5} more" if len(self.names) > 5 else ""
        return (
            f"a transaction that changes what strict queries depend on ({', '.join(self.names[:5])}{more}) "
            "was not committed, because their entries could not be barred: "
            f"{self.cause.rstrip('.')}. The database is unchanged. Try it again; if it must go through while "
            "Redis is away, the queries can't be strict."
        )


@error
class TriggersUnsupported(ServerError):
    """Triggers can't be made in this kind of database."""

    url: str
    kind: str

    def message(self) -> str:
        """Name the database and what its writers can do."""
        return (
            f"the database at {self.url} is {self.kind}: triggers are made for PostgreSQL and SQLite. "
            "Nothing was changed in it. Track its writers (`flights.track`), or have them call "
            "`flights.record`."
        )


@error
class ServerNotStarted(ServerError):
    """A server that Warmer starts by itself did not come up."""

    server: str
    cause: str

    def message(self) -> str:
        """Name the server and its last words."""
        return (
            f"{self.server} did not start: {self.cause}. What was started beside it was stopped again. "
            "Correct the cause (a full disk, a foreign lock, a missing library) and try again."
        )


@error
class PurgeFailed(ServerError):
    """A shared cache did not confirm that it dropped what it was told to."""

    url: str
    cause: str

    def message(self) -> str:
        """Name the cache and say that it's tried again."""
        return (
            f"purging {self.url} failed: {self.cause}. Entries are not affected, but that cache may still "
            "serve old responses until their time is over. It's tried again for half a minute; see that the "
            "cache can be reached, and lets this host purge."
        )
