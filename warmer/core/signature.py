"""A function's signature as Warmer reads it: each param with its canonical type, resources left out."""

from __future__ import annotations

import inspect
import keyword
import typing
from collections.abc import Callable, Collection
from dataclasses import dataclass
from inspect import Parameter, Signature
from types import SimpleNamespace

from warmer.core.params import Misfit, ParamType, param_type
from warmer.core.params.build import unresolved
from warmer.errors import UnannotatedParam, UnsupportedParam, UnsupportedSignature, show


@dataclass(frozen=True, slots=True)
class Params:
    """A query's params: their signature without resources and return type, and each one's type."""

    signature: Signature
    types: dict[str, ParamType]


def read_params(fn: Callable[..., object], query: str, resources: Collection[str] = ()) -> Params:
    """The params of a query's function.

    resources: names that a load fills in; they are no params and need no annotation.
    Raises UnannotatedParam, UnsupportedParam (a type without canonical form, a name in quotes that can't be
    resolved) or UnsupportedSignature (`self`, `cls`, `*args`, `**kwargs`, a default of another type).
    """
    kept, types = [], {}
    for at, parameter in enumerate(inspect.signature(fn).parameters.values()):
        if parameter.name in resources:
            continue
        _check_kind(parameter, at, fn, query)
        where = f"{query}({parameter.name})"
        annotation = _resolved(parameter, fn, where)
        kind = param_type(annotation, where)
        # An error shows the signature: `month: int`, not the quoted text that a __future__ import leaves.
        parameter = parameter.replace(annotation=annotation)
        if parameter.default is not Parameter.empty:
            parameter = parameter.replace(default=_default(parameter, kind, query))
        kept.append(parameter)
        types[parameter.name] = kind
    return Params(Signature(kept), types)


def _check_kind(parameter: Parameter, at: int, fn: Callable[..., object], query: str) -> None:
    name = parameter.name
    if at == 0 and name in ("self", "cls") and parameter.annotation is Parameter.empty:
        raise UnsupportedSignature(
            query,
            f"is a method: its {name!r} can't be part of a key",
            f"Write a function at module level, and pass what it needs of {name} as params.",
        )
    if parameter.kind is Parameter.VAR_POSITIONAL:
        instead = f"Write one param in its place, such as `{name}: tuple[str, ...]`."
        raise UnsupportedSignature(query, f"takes *{name}, whose length and names a key can't fix", instead)
    if parameter.kind is Parameter.VAR_KEYWORD:
        instead = "Write each param by name, with its type and default."
        raise UnsupportedSignature(query, f"takes **{name}, whose names a key can't fix", instead)
    if parameter.annotation is Parameter.empty:
        raise UnannotatedParam(query, name)
    if not name.isidentifier() or keyword.iskeyword(name):
        raise UnsupportedSignature(
            query, f"has a param called {name!r}", "Give it a name that can be written."
        )


def _default(parameter: Parameter, kind: ParamType, query: str) -> object:
    """The canonical default of a param."""
    try:
        return kind.check(parameter.default)
    except Misfit as misfit:
        name, shown = parameter.name, show(parameter.default)
        reason = f"gives its param {name!r} the default {shown}, which is not {misfit.expected}"
        raise UnsupportedSignature(
            query, reason, f"Change the default or the annotation of {name}."
        ) from None


def _resolved(parameter: Parameter, fn: Callable[..., object], where: str) -> object:
    """The annotation with the names in quotes replaced by what they name where the function is defined."""
    written = parameter.annotation
    holder = SimpleNamespace(__annotations__={parameter.name: written})
    names = getattr(inspect.unwrap(fn), "__globals__", {})
    try:
        return typing.get_type_hints(holder, globalns=names, include_extras=True)[parameter.name]
    except (NameError, AttributeError, SyntaxError, TypeError) as unknown:
        spelled = written if isinstance(written, str) else repr(written)
        raise UnsupportedParam(where, spelled, unresolved(unknown)) from unknown
