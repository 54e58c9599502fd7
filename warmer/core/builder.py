"""The compiled part of a key factory: Python written for one signature, so that a hit pays for nothing else.

What is written for `(carrier: str, month: int)`, with one shard:

    def key_from(args, kwargs):
        if kwargs or len(args) != 2:
            try: args = bind(*args, **kwargs)
            except TypeError: args = explain(args, kwargs)
        a0, a1 = args
        if (type(a0) is str and (a0.isascii() and a0.isalnum() or is_plain(a0))) and type(a1) is int:
            try: token = f"{a0},{a1}".encode()
            except ValueError: return slow(args)
            if len(token) <= 180: return prefix + token, args
        return slow(args)

The inlined conditions accept only values that are canonical and whose token is the expression given here;
everything else goes to `slow`, which asks the param types. A property test compares the two ways.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from inspect import Parameter
from typing import Any
from zlib import crc32

from warmer.core.tokens import is_plain

Args = tuple[Any, ...]
KeyOf = Callable[..., tuple[bytes, Args]]
KeyFrom = Callable[[Args, dict[str, Any]], tuple[bytes, Args]]

# For each simple form: when a value is canonical and needs no escape, and its token inside an f-string.
# Floats: within these bounds repr() has neither an exponent nor a minus zero.
_INLINE = {
    "str": ("type({a}) is str and ({a}.isascii() and {a}.isalnum() or is_plain({a}))", "{{{a}}}"),
    "int": ("type({a}) is int", "{{{a}}}"),
    "bool": ("type({a}) is bool", "{{'true' if {a} else 'false'}}"),
    "float": ("type({a}) is float and (1e-4 <= {a} < 1e15 or -1e15 < {a} <= -1e-4)", "{{{a}!r}}"),
    "date": ("type({a}) is date", "{{{a}.isoformat()}}"),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a builder is compiled from.

    simple: the simple form of each param, or None. prefixes: what stands before the tokens, by shard. seed:
    the CRC-32 of what stands before the tokens in the text that decides the shard. longest: how many bytes
    of tokens fit into a key. slow: from bound arguments to the result. explain: raises for arguments that do
    not bind.
    """

    parameters: Sequence[Parameter]
    simple: Sequence[str | None]
    prefixes: Sequence[bytes]
    seed: int
    longest: int
    slow: Callable[[Args], tuple[bytes, Args]]
    explain: Callable[[Args, dict[str, Any]], Args]


def compile_builder(plan: Plan) -> tuple[KeyOf, KeyFrom]:
    """`key_of(*args, **kwargs)`, and `key_from(args, kwargs)` for a caller that has them packed already.

    Both give the Redis key and the canonical arguments in the order of the signature.
    """
    names: dict[str, Any] = {
        "is_plain": is_plain,
        "date": date,
        "crc32": crc32,
        "prefix": plan.prefixes[0],
        "prefixes": plan.prefixes,
        "slow": plan.slow,
        "explain": plan.explain,
    }
    for at, parameter in enumerate(plan.parameters):
        names[f"default{at}"] = parameter.default
    body = _body(plan)
    source = "\n".join(
        [
            _binder(plan.parameters),
            "def key_from(args, kwargs):",
            *body,
            "def key_of(*args, **kwargs):",
            *body,
        ]
    )
    exec(compile(source, "<warmer key builder>", "exec"), names)
    return names["key_of"], names["key_from"]


def _binder(parameters: Sequence[Parameter]) -> str:
    """A function of the query's own signature that gives its arguments back as a tuple."""
    written: list[str] = []
    for at, parameter in enumerate(parameters):
        before = parameters[at - 1].kind if at else None
        if before is Parameter.POSITIONAL_ONLY and parameter.kind is not before:
            written.append("/")
        if parameter.kind is Parameter.KEYWORD_ONLY and before is not parameter.kind:
            written.append("*")
        default = "" if parameter.default is Parameter.empty else f"=default{at}"
        written.append(parameter.name + default)
    if parameters and parameters[-1].kind is Parameter.POSITIONAL_ONLY:
        written.append("/")
    given = "".join(parameter.name + "," for parameter in parameters)
    return f"def bind({', '.join(written)}): return ({given})"


def _body(plan: Plan) -> list[str]:
    count = len(plan.parameters)
    keyword_only = any(parameter.kind is Parameter.KEYWORD_ONLY for parameter in plan.parameters)
    lines = [
        "  if True:" if keyword_only else f"  if kwargs or len(args) != {count}:",
        "    try: args = bind(*args, **kwargs)",
        "    except TypeError: args = explain(args, kwargs)",
    ]
    simple = [form for form in plan.simple if form is not None]
    if count and len(simple) == count:
        inlined = [_inlined(form, f"a{at}") for at, form in enumerate(simple)]
        found = (
            "prefix"
            if len(plan.prefixes) == 1
            else f"prefixes[crc32(token, {plan.seed}) % {len(plan.prefixes)}]"
        )
        lines += [
            f"  {''.join(f'a{at},' for at in range(count))} = args",
            f"  if {' and '.join(f'({condition})' for condition, _ in inlined)}:",
            f'    try: token = f"{",".join(token for _, token in inlined)}".encode()',
            "    except ValueError: return slow(args)",
            f"    if len(token) <= {plan.longest}: return {found} + token, args",
        ]
    return [*lines, "  return slow(args)"]


def _inlined(form: str, name: str) -> tuple[str, str]:
    condition, token = (part.format(a=name) for part in _INLINE[form.rstrip("?")])
    if form.endswith("?"):
        inner = token[1:-1]
        return f"{name} is None or {condition}", "{'~' if " + f"{name} is None else {_call(inner)}" + "}"
    return condition, token


def _call(inner: str) -> str:
    return f"repr({inner[:-2]})" if inner.endswith("!r") else f"({inner})"
