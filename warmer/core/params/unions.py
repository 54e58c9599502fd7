"""Params of one of several types. A token says which, so `3` and `"3"` never meet.

Two alternatives with equal values can't stand in one union: one value would have two keys, and invalidating
one would leave the other. `int | float` is what type checkers take it for, `float`; `int | Decimal` is
`Decimal`; `Literal["all"] | str` is `str`. What is left over is refused where the query is declared. (A bool
is no number here, as everywhere in Warmer: `True` and `1` are different params.)
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from warmer.core.params.choices import LiteralParam
from warmer.core.params.contract import Misfit, ParamType
from warmer.core.params.plain import DecimalParam, FloatParam, IntParam, NoneParam


class OptionalParam(ParamType):
    """One type or None: tokens are that type's, and `~`."""

    __slots__ = ("_inner",)

    def __init__(self, annotation: object, inner: ParamType) -> None:
        super().__init__(annotation)
        self._inner = inner

    @property
    def inner(self) -> ParamType:
        """The type of what is not None."""
        return self._inner

    @property
    def name(self) -> str:
        """Both in words."""
        return f"{self._inner.name} or None"

    @property
    def simple(self) -> str | None:
        """That of the type, marked as optional."""
        return f"{self._inner.simple}?" if self._inner.simple else None

    def check(self, value: object) -> object:
        """None, or what the type makes of it."""
        if value is None:
            return None
        try:
            return self._inner.check(value)
        except Misfit as misfit:
            raise (misfit if _is_telling(misfit, self._inner) else Misfit(value, self.name)) from None

    def encode(self, canonical: Any) -> str:
        """`~`, or what the type writes."""
        return "~" if canonical is None else self._inner.encode(canonical)

    def read(self, token: str) -> object:
        """None, or what the type reads."""
        return None if token == "~" else self._inner.read(token)

    def from_text(self, text: str) -> object:
        """None for `~`, or what the type makes of the text."""
        return None if text == "~" else self._inner.from_text(text)


class UnionParam(ParamType):
    """Several types, and perhaps None: tokens are `~`, and `<tag>~<token>`."""

    __slots__ = ("_alternatives", "_none")

    def __init__(self, annotation: object, alternatives: Sequence[ParamType], *, none: bool) -> None:
        super().__init__(annotation)
        self._alternatives = {alternative.tag: alternative for alternative in alternatives}
        self._none = none

    @property
    def alternatives(self) -> Sequence[ParamType]:
        """The types of what is not None."""
        return tuple(self._alternatives.values())

    @property
    def accepts_none(self) -> bool:
        """Whether None is one of its values."""
        return self._none

    @property
    def name(self) -> str:
        """All in words."""
        names = [alternative.name for alternative in self._alternatives.values()]
        return " or ".join([*names, "None"] if self._none else names)

    def check(self, value: object) -> object:
        """What the one alternative that accepts the value makes of it."""
        if value is None and self._none:
            return None
        return self._accepting(value)[1]

    def encode(self, canonical: Any) -> str:
        """The tag of the alternative that accepts the value, and its token."""
        if canonical is None and self._none:
            return "~"
        tag, value = self._accepting(canonical)
        return f"{tag}~{self._alternatives[tag].encode(value)}"

    def read(self, token: str) -> object:
        """What the tagged alternative reads."""
        if token == "~" and self._none:
            return None
        tag, mark, inner = token.partition("~")
        if not mark or tag not in self._alternatives:
            raise ValueError("not tagged with a type of the union")
        return self._alternatives[tag].read(inner)

    def from_text(self, text: str) -> object:
        """What the one type that accepts the text makes of it; `int~3` says which type is meant."""
        if text == "~" and self._none:
            return None
        tag, mark, rest = text.partition("~")
        if mark and tag in self._alternatives:
            return self._alternatives[tag].from_text(rest)
        found: dict[str, object] = {}
        for name, alternative in self._alternatives.items():
            with contextlib.suppress(Misfit):
                found[name] = alternative.from_text(text)
        if len(found) == 1:
            return found.popitem()[1]
        raise Misfit(text, f"one of {', '.join(f'{name}~{text}' for name in found)}" if found else self.name)

    def _accepting(self, value: object) -> tuple[str, object]:
        telling: Misfit | None = None
        for tag, alternative in self._alternatives.items():
            try:
                return tag, alternative.check(value)
            except Misfit as misfit:
                if _is_telling(misfit, alternative):
                    telling = misfit
        raise telling or Misfit(value, self.name)


def _is_telling(misfit: Misfit, alternative: ParamType) -> bool:
    """Whether it says more than "another type": what is wrong inside the value, or with this one value."""
    return bool(misfit.path) or misfit.expected != alternative.name


def union(annotation: object, alternatives: Sequence[ParamType]) -> ParamType:
    """The type of a union. Raises ValueError, with the reason, when two alternatives have equal values."""
    none = any(isinstance(alternative, NoneParam) for alternative in alternatives)
    kept = _absorbed([one for one in alternatives if not isinstance(one, NoneParam)])
    if not kept:
        return NoneParam(annotation)
    for at, one in enumerate(kept):
        for other in kept[:at]:
            if one.family == other.family:
                both = f"{other.name} and {one.name}"
                raise ValueError(f"{both} have equal values, which would have two keys; keep one of them")
            if one.tag == other.tag:
                raise ValueError(f"two of its types are called {one.tag}; rename one of them")
    if len(kept) > 1:
        return UnionParam(annotation, kept, none=none)
    return OptionalParam(annotation, kept[0]) if none else kept[0]


def _absorbed(alternatives: list[ParamType]) -> list[ParamType]:
    """The alternatives without those whose values another one has anyway, and Literals of a type as one."""
    kept: list[ParamType] = []
    wide = {one.tag for one in alternatives if not isinstance(one, LiteralParam)}
    floats = any(isinstance(one, FloatParam) for one in alternatives)
    decimals = any(isinstance(one, DecimalParam) for one in alternatives)
    ints = any(isinstance(one, IntParam) for one in alternatives)
    for one in alternatives:
        if isinstance(one, IntParam) and (floats or decimals):
            continue
        if isinstance(one, DecimalParam) and ints:
            kept.append(DecimalParam(one.annotation, ints=True))
        elif isinstance(one, LiteralParam) and one.tag in wide:
            continue
        else:
            kept.append(one)
    return kept
