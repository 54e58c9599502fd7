"""What a message says: which entry was claimed, and when. Names and numbers, never code.

A message is a hint. What must hold is decided in Redis when it is acted upon, so a message that comes twice,
late, out of order or not at all changes nothing but how much is loaded in vain.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from warmer.core.members import full_tokens, split_member
from warmer.core.tokens import unescape_bytes
from warmer.errors import NotAMessage
from warmer.reading import Reading
from warmer.runtime.contract import MASKED
from warmer.store.operations import Claim

#: Raised when what a message says changes so that an earlier release would misread it.
VERSION: Final = 1

#: The header of a Celery message that holds ours. The task's argument is the call as people read it, with
#: secrets masked: Flower, events and `inspect active` show arguments to whoever may look.
HEADER: Final = "warmer"

_SHOWN_CHARS = 160

Micros = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One claimed entry.

    member: with its query's version. params: the tokens' text in full, also where the member has a digest.
    claim: the stamp of the claim: a value of a later lease makes the message void. due, sent: when the entry
    fell due and when the message was made, in microseconds of the server's clock.
    """

    v: Annotated[int, msgspec.Meta(ge=1)] = VERSION
    member: str
    params: str
    shard: Annotated[int, msgspec.Meta(ge=0)]
    claim: Micros
    due: Micros
    sent: Micros

    @classmethod
    def of(cls, claim: Claim, sent_us: float) -> Message:
        """What to say of a claim. Raises NotAKey, and KeyDigested where the claim lacks its params."""
        tail = split_member(claim.member)[2]
        return cls(
            member=claim.member,
            params=full_tokens(tail, claim.tokens, claim.member),
            shard=claim.shard,
            claim=claim.stamp,
            due=max(0, claim.due_at),
            sent=max(0, int(sent_us)),
        )

    @classmethod
    def read(cls, task: str, said: object) -> Message | None:
        """The message in a header's value; None when a later release has sent it. Raises NotAMessage."""
        if isinstance(said, dict) and type(said.get("v")) is int and said["v"] > VERSION:
            return None
        try:
            return msgspec.convert(said, cls)
        except msgspec.ValidationError as exc:
            raise NotAMessage(task, str(exc)) from None

    def plain(self) -> dict[str, Any]:
        """The message as JSON takes it."""
        return msgspec.structs.asdict(self)


# msgspec learns a class at its first use, and a second thread that came meanwhile would crash the process.
msgspec.json.Decoder(Message)


def shown_call(reading: Reading[Any], tokens: str) -> str:
    """The call as people read it, as in `departures(JFK, 2013-01-01)`; `***` for params that are private."""
    name = reading.name.rpartition(".")[2]
    if reading.is_private:
        return f"{name}({MASKED})"
    shown = ", ".join(_readable(token) for token in tokens.split(","))
    return f"{name}({shown})" if len(shown) <= _SHOWN_CHARS else f"{name}({shown[:_SHOWN_CHARS]}...)"


def _readable(token: str) -> str:
    try:
        text = unescape_bytes(token).decode("utf-8")
    except ValueError:
        return token  # structure, or bytes that are no text: as they are keyed
    return text if text.isprintable() else token
