"""Raised where a query or a plan is declared: nothing is registered, nothing has run."""

from __future__ import annotations

from warmer.errors.root import WarmerError, error


class DecorationError(WarmerError):
    """A query or a plan can't be declared like this."""

    __module__ = "warmer.errors"


@error
class UnsupportedParam(DecorationError):
    """A param's annotation is of a type that has no canonical form in a key."""

    where: str
    annotation: str
    reason: str = ""

    def message(self) -> str:
        """Name the param, its annotation and the types that work."""
        return (
            f"{self.where} is annotated {self.annotation}, which can't be part of a "
            f"key{': ' + self.reason if self.reason else ''}. The query was not registered. Params may be "
            "str, bytes, int, bool, float, None, Decimal, date, datetime, UUID, an Enum, a Literal, and "
            "tuples, frozen dataclasses and unions of these; what a load needs besides (a session, a "
            "client) belongs in resources={...}."
        )


@error
class UnannotatedParam(DecorationError):
    """A param has no annotation, so its values can't be checked."""

    query: str
    param: str

    def message(self) -> str:
        """Name the param and show how to annotate it."""
        return (
            f"{self.query} has no annotation on its param {self.param!r}, so equal and different values "
            f"can't be told apart. The query was not registered. Write its type: `{self.param}: str`, for "
            "example."
        )


@error
class UnsupportedSignature(DecorationError):
    """The function's signature can't be turned into a key."""

    query: str
    reason: str
    instead: str

    def message(self) -> str:
        """Say what stands in the way and which form works."""
        return f"{self.query} {self.reason}. The query was not registered. {self.instead}"


@error
class UnstorableResult(DecorationError):
    """A query's return annotation can't be stored and brought back as the same type."""

    annotation: str
    where: str
    reason: str = ""

    def message(self) -> str:
        """Name the annotation and the types that work."""
        return (
            f"{self.where} returns {self.annotation}, which can't be stored and come back as that "
            f"type{': ' + self.reason if self.reason else ''}. The query was not registered. Return "
            "dataclasses, TypedDicts, NamedTuples or msgspec Structs, or lists, dicts, tuples and sets of "
            "them and of plain values (never Any, a bare list, or a driver's Row)."
        )


@error
class InvalidOption(DecorationError):
    """An option of `cached` or `plan`, or an argument of a call, has a value that can't be meant."""

    where: str
    option: str
    value: str
    expected: str

    def message(self) -> str:
        """Name the option, what was given and what is expected."""
        return (
            f"{self.where}: expected {self.option} to be {self.expected}, got: {self.value}. Nothing was "
            f"registered or changed. Correct {self.option} where it is given."
        )


@error
class DuplicateQuery(DecorationError):
    """Two functions claim one query name, or one module was imported under two paths."""

    name: str
    first: str
    second: str

    def message(self) -> str:
        """Name both places."""
        return (
            f"the query {self.name!r} is declared twice: by {self.first} and by {self.second}. The first one "
            "stays registered. If both are the same file, import it by one path only; else give one of them "
            "another name=."
        )


@error
class DuplicatePlan(DecorationError):
    """Two functions claim one plan name."""

    name: str
    first: str
    second: str

    def message(self) -> str:
        """Name both places."""
        return (
            f"the plan {self.name!r} is declared twice: by {self.first} and by {self.second}. The first one "
            "stays registered. If both are the same file, import it by one path only; else give one of them "
            "another name=."
        )


@error
class IdentityUnscoped(DecorationError):
    """A param looks like somebody's identity, and the query doesn't say whether its results are private."""

    query: str
    param: str

    def message(self) -> str:
        """Show both ways to say it."""
        return (
            f"{self.query} takes {self.param!r}, which looks like an identity, and does not say whose its "
            f"results are. The query was not registered. Write scope={self.param!r} if a result may be read "
            "by that identity only, or scope=PUBLIC if everybody may read it. (The names that count are the "
            "setting identity_params.)"
        )


@error
class SealKeyMissing(DecorationError):
    """A query is sensitive, and there is no key to seal its results with."""

    query: str

    def message(self) -> str:
        """Say how a key is made and where it goes."""
        return (
            f"{self.query} is declared with sensitive=True, and without a key its results would be in Redis "
            "for anybody to read. The query was not registered. Set WARMER_SEAL_KEY, in every process alike, "
            'to 32 random bytes: `python -c "import secrets; print(secrets.token_urlsafe(32))"` makes a key. '
            "It needs `pip install 'warmer[sealed]'`."
        )


@error
class InvalidTrigger(DecorationError):
    """A plan's trigger can't be read."""

    trigger: str
    reason: str

    def message(self) -> str:
        """Show the trigger and the forms that work."""
        return (
            f"the trigger {self.trigger} can't be read: {self.reason}. No plan was registered. Write "
            'cron("0 5 * * *", timezone="America/New_York"), with five fields as in crontab and Sunday '
            "as 0, or every(300) in seconds."
        )
