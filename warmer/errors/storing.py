"""Raised where a value is stored or read back: what was stored before is as it was."""

from __future__ import annotations

from warmer.errors.root import WarmerError, error


class StoreError(WarmerError):
    """A value can't be stored, or what is stored can't be read."""

    __module__ = "warmer.errors"


@error
class ResultNotStorable(StoreError):
    """A load returned something that does not fit the query's return annotation."""

    query: str
    annotation: str
    reason: str

    def message(self) -> str:
        """Name the annotation and what does not fit."""
        return (
            f"{self.query} returned a value that does not fit its annotation {self.annotation}: "
            f"{self.reason}. Nothing was stored. Return what the annotation says (rows made into its type), "
            "or change the annotation."
        )


@error
class ResultTooLarge(StoreError):
    """A load returned a value that is larger than the limit, even compressed."""

    query: str
    size_bytes: int
    limit_bytes: int

    def message(self) -> str:
        """Name both sizes."""
        return (
            f"{self.query} returned a value of {self.size_bytes:,} bytes; at most {self.limit_bytes:,} are "
            "stored. Nothing was stored. Return less (a page, an aggregate) or raise max_value_bytes."
        )


@error
class BatchMismatch(StoreError):
    """A batch loader did not return one result for each call that it was given."""

    query: str
    expected: int
    returned: str

    def message(self) -> str:
        """Name both."""
        return (
            f"the batch loader of {self.query} was given {self.expected} calls and returned {self.returned}. "
            f"Nothing was stored. Return a list of {self.expected} results in the order of the calls; in the "
            "place of one that failed, its exception."
        )


@error
class CorruptEntry(StoreError):
    """The bytes of an entry can't be decoded; a reader takes it for a miss and counts it."""

    reason: str

    def message(self) -> str:
        """Say what is wrong with the bytes."""
        return (
            f"an entry can't be decoded: {self.reason}. It was left where it is and is treated as a miss; "
            "the next load replaces it."
        )


@error
class EntryNotOpened(CorruptEntry):
    """An entry is sealed and does not open, or is not though it must be; a reader takes it for a miss."""

    def message(self) -> str:
        """Say why it does not open."""
        return (
            f"an entry can't be opened: {self.reason}. It was left where it is and is treated as a miss; "
            "the next load replaces it. If there are many, look at which processes have which seal_key."
        )


@error
class LeaseLost(StoreError):
    """The lease ended before the value was committed: by time, by an invalidation or by another holder."""

    query: str
    params: str
    reason: str

    def message(self) -> str:
        """Name the entry and why the lease ended."""
        return (
            f"the lease on {self.query}({self.params}) ended before the commit: {self.reason}. The value was "
            "not stored; the entry is due again by itself. If loads often outlive their lease, look at "
            "timeout= and at the host's pauses."
        )
