"""pydantic models inside values: stored as the JSON text that pydantic itself writes and reads.

pydantic is never imported here: who annotates a model has imported it. JSON is what pydantic promises to
read back even for strict models, and it is decoded by pydantic's own compiled parser.
"""

from __future__ import annotations

import sys
from typing import Any, Protocol, cast


class Model(Protocol):
    """What is used of a pydantic model."""

    def model_dump_json(self, *, round_trip: bool, by_alias: bool, warnings: bool) -> str:
        """The model as JSON; fields by their names, computed ones left out."""

    @classmethod
    def model_validate_json(cls, text: str, *, by_name: bool, by_alias: bool) -> Model:
        """The model in a JSON text."""


def model_base() -> type | None:
    """pydantic's base class, or None when nobody in this process has imported pydantic."""
    pydantic = sys.modules.get("pydantic")
    return cast(type, pydantic.BaseModel) if pydantic is not None else None


def dump(value: Any) -> str:
    """The encoder's hook for what msgspec does not know. Raises NotImplementedError for all but models."""
    base = model_base()
    if base is None or not isinstance(value, base):
        raise NotImplementedError(type(value).__name__)
    # No warnings: what they warn of does not survive, and is an error.
    return cast(Model, value).model_dump_json(round_trip=True, by_alias=False, warnings=False)


def load(cls: type, stored: Any) -> Any:
    """The decoder's hook: a model from its JSON text; anything else is a plain value already.

    Raises what pydantic raises (a ValueError) when the text is not of this model.
    """
    base = model_base()
    if base is None or not issubclass(cls, base):
        return stored
    return cast(type[Model], cls).model_validate_json(stored, by_name=True, by_alias=False)


def survives(model: Any) -> bool:
    """Whether a model comes back equal from its JSON: its own serializers may drop or change something.

    Where two readings of one text differ (a NaN equals nothing), the repr decides.
    """
    try:
        text = dump(model)
        back, again = load(type(model), text), load(type(model), text)
    except (ValueError, TypeError):
        return False
    return bool(back == model or (back != again and repr(back) == repr(model)))
