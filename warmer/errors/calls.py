"""Raised when a query, plan or key is named wrongly: nothing was read, loaded, queued or removed."""

from __future__ import annotations

from warmer.errors.root import WarmerError, error, hint


class CallError(WarmerError):
    """A call names something that does not exist or passes what does not fit."""

    __module__ = "warmer.errors"


@error
class ParamError(CallError):
    """A param's value is not of its annotated type."""

    query: str
    param: str
    value: str
    expected: str

    def message(self) -> str:
        """Name the param, what was given and what is expected."""
        return (
            f"{self.query}: expected {self.param} to be {self.expected}, got: {self.value}. Nothing was read "
            "or changed. Values are never converted silently: pass one of the annotated type."
        )


@error
class UnknownParam(CallError):
    """A param is named that the query does not have."""

    query: str
    name: str
    known: tuple[str, ...]
    suggestion: str | None = None

    def message(self) -> str:
        """Name it, and the params that there are."""
        return (
            f"{self.query} has no param {self.name!r}. Nothing was read or changed. "
            f"{hint(self.suggestion, self.known)}"
        )


@error
class WrongArguments(CallError):
    """A call has too many or too few arguments, or one of them twice."""

    query: str
    reason: str
    signature: str

    def message(self) -> str:
        """Say what is wrong beside the signature that is right."""
        return (
            f"{self.query}{self.signature}: {self.reason}. Nothing was read or changed. Call it like its "
            "function."
        )


@error
class NothingToPut(CallError):
    """A value is put outside of the write that it came from."""

    query: str

    def message(self) -> str:
        """Say what a value needs to be put."""
        return (
            f"{self.query}: there is no write that the value could come from. Nothing was stored or changed. "
            "Put it inside a tracked transaction of the same thread or task, after its changes were flushed; "
            "or open `with query.writing(...) as writing:` before the write, and put it there after its end."
        )


@error
class PutUnclear(CallError):
    """A value is put while several tracked transactions are open: nobody knows which one it belongs to."""

    query: str
    count: int

    def message(self) -> str:
        """Say how to make it clear."""
        return (
            f"{self.query}: {self.count} tracked transactions are open here, and the value could be of each. "
            "Nothing was stored or changed. End the others first (one that only reads, too), or invalidate "
            "the entry, which waits for all of them."
        )


@error
class UnknownQuery(CallError):
    """No query of this name is registered in this process."""

    name: str
    known: tuple[str, ...]
    suggestion: str | None = None

    def message(self) -> str:
        """Name it, and the queries that there are."""
        return (
            f"no query {self.name!r} is registered here. Nothing was read or changed. "
            f"{hint(self.suggestion, self.known)} A query is registered when its module is imported."
        )


@error
class UnknownPlan(CallError):
    """No plan of this name is registered in this process."""

    name: str
    known: tuple[str, ...]
    suggestion: str | None = None

    def message(self) -> str:
        """Name it, and the plans that there are."""
        return (
            f"no plan {self.name!r} is registered here. No run was made. {hint(self.suggestion, self.known)} "
            "A plan is registered when its module is imported; `warmer plans` lists them."
        )


@error
class UnknownRun(CallError):
    """No run of this id is recorded; it never was, or it ended long ago."""

    run: str

    def message(self) -> str:
        """Name the run and where to look."""
        return (
            f"no run {self.run!r} is recorded. Nothing was changed. Runs are kept for a day; `warmer status` "
            "lists the last ones."
        )


@error
class NotACall(CallError):
    """A list of calls was expected and one of its items is not a query's arguments."""

    query: str
    value: str

    def message(self) -> str:
        """Show the form that works."""
        name = self.query.rpartition(".")[2]
        return (
            f"{self.query}: expected a list of calls, each a tuple or a mapping of params, got: "
            f"{self.value}. Nothing was "
            f'queued or read. Write [("UA",)] for the one call {name}("UA"), as in {name}.warm([("UA",)]).'
        )


@error
class NotAKey(CallError):
    """The text is not a key of an entry."""

    key: str
    reason: str

    def message(self) -> str:
        """Show the key and why it can't be read."""
        return (
            f"{self.key} is not an entry's key: {self.reason}. Nothing was read or changed. Take keys from "
            "`one.key`."
        )


@error
class KeyDigested(CallError):
    """The key holds a digest in place of its params, because they are long."""

    key: str

    def message(self) -> str:
        """Say where the params are."""
        return (
            f"{self.key} holds a digest in place of its params, which made it longer than 250 bytes. Nothing "
            "was read or changed. Pass the params' text beside the key: the due index and the message carry "
            "it."
        )


@error
class NotAnEntry(CallError):
    """A plan yielded something that is not an entry to warm."""

    plan: str
    value: str

    def message(self) -> str:
        """Show the form that works."""
        return (
            f"the plan {self.plan} yielded {self.value}, which is not an entry. What it yielded before is "
            "queued; the run stops here. Yield handles: `yield query.bind(...)`."
        )


@error
class NotAMessage(CallError):
    """A query's task was given something that no scheduler of Warmer sends."""

    task: str
    reason: str

    def message(self) -> str:
        """Say what it lacks and what to call instead."""
        return (
            f"the task {self.task} was given no message of Warmer's: {self.reason}. Nothing was loaded. Only "
            "the scheduler sends tasks of queries; to load entries, call `query.refresh(...)` or "
            "`query.warm(...)`."
        )


@error
class NotTrackable(CallError):
    """What was to be tracked, or a connection that a change was to be recorded on, is not of a known kind."""

    given: str
    expected: str

    def message(self) -> str:
        """Name what was given and what is expected."""
        return f"expected {self.expected}, got: {self.given}. Nothing is tracked or recorded by this call."
