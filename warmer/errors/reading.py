"""Raised to readers: the store is as it was, and a later read may well succeed."""

from __future__ import annotations

from warmer.errors.root import WarmerError, error


class ReadError(WarmerError):
    """A read could not return a value."""

    __module__ = "warmer.errors"


@error
class CacheMiss(ReadError):
    """There is no value, and the reader asked not to load one."""

    query: str
    params: str

    def message(self) -> str:
        """Name the entry and the other ways."""
        return (
            f"{self.query}({self.params}) is not cached and was read with miss='raise'. Nothing was loaded. "
            "Read it with miss='load' or miss='wait', or warm it first."
        )


@error
class WaitTimeout(ReadError):
    """Another's load did not end within the reader's `wait`, and there was no stale value to serve."""

    query: str
    params: str
    waited_s: float

    def message(self) -> str:
        """Name the entry, the time and the options."""
        return (
            f"{self.query}({self.params}) was not ready after {self.waited_s:.3g} s: it is being loaded "
            "elsewhere, or, with miss='wait', no worker has come to it (do a scheduler and a worker run?). A "
            "load that has begun goes on. Raise wait=, lengthen grace= so that a stale value bridges it, or "
            "keep the entry warm."
        )


@error
class HeadersSent(ReadError):
    """An entry was read for a response whose headers, which follow from what it shows, are sent already."""

    query: str

    def message(self) -> str:
        """Name the query and the two ways out."""
        return (
            f"{self.query} was read by warmer.http.read after the headers of the response were sent: they "
            "say what may be cached of it, and this entry is not in them. The entry itself is left as it is. "
            "Read it before the response begins; what the response does not show, by calling the query."
        )


@error
class NamespaceClosed(ReadError):
    """The namespace was closed in this process while the reader waited."""

    query: str
    params: str

    def message(self) -> str:
        """Name the entry and say that it is this process that ends."""
        return (
            f"{self.query}({self.params}) was being waited for when its namespace was closed here. "
            "This read changed nothing. The next read opens it again: end readers before close(), or read "
            "again."
        )


@error
class LoadFailed(ReadError):
    """The query's function raised, and there was no stale value to serve."""

    query: str
    params: str
    cause_class: str
    cause_message: str
    retry_in_s: float

    def message(self) -> str:
        """Name the entry, the cause and when it is tried again."""
        cause = f"{self.cause_class}: {self.cause_message}".rstrip(".: ")
        again = (
            f"It is not tried again for {self.retry_in_s:.3g} s, nor by those who waited for it; an "
            "invalidation ends the pause."
            if self.retry_in_s > 0
            else "The next read tries again."
        )
        return (
            f"loading {self.query}({self.params}) failed: {cause}. Nothing was stored. {again} `.fn(...)` "
            "runs the function itself."
        )


@error
class LoadTimeout(ReadError):
    """A load took longer than the query's `timeout`."""

    query: str
    params: str
    timeout_s: float

    def message(self) -> str:
        """Name the entry, the time and the options."""
        return (
            f"loading {self.query}({self.params}) took longer than its timeout of {self.timeout_s:.3g} s. "
            "Its lease is given up and whatever it returns is not stored. Make the query faster (an index?) "
            "or raise timeout=."
        )


@error
class TooManyLoads(ReadError):
    """The process already runs as many loads as it may, and none ended within the reader's `wait`."""

    query: str
    params: str
    bound: int
    waited_s: float
    cause: str = ""

    def message(self) -> str:
        """Name the bound, why it holds, and its setting."""
        away = f" because Redis can't be reached ({self.cause})" if self.cause else ""
        setting = "redis_away_loads" if self.cause else "max_loads"
        return (
            f"{self.query}({self.params}) needs a load, and this process already runs {self.bound}{away}; "
            f"none ended within {self.waited_s:.3g} s. Nothing was loaded. Try again, or raise {setting} if "
            "the database can bear it."
        )


@error
class IdentityRefused(ReadError):
    """A read for one identity was made where another identity is in force."""

    query: str
    scope: str

    def message(self) -> str:
        """Name the query and its scope, and nobody's identity."""
        return (
            f"{self.query} is private to its {self.scope}, and this read asks for another {self.scope} than "
            "the identity in force. Nothing was read. Read it within `with <namespace>.identity(...)` of "
            "its owner, or outside of any."
        )
