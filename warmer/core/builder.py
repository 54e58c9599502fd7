"""The compiled part of a key factory: Python written for one signature, so that a hit pays for nothing else.

What is written for `(carrier: str, month: int, kind: Kind)`, with one shard:

    def key_from(args, kwargs):
      if kwargs or len(args) != 3:
        try: args = bind(*args, **kwargs)
        except TypeError as wrong: raise unbound(kwargs, wrong) from None
      a0,a1,a2, = args
      if (type(a0) is str) and (type(a1) is int):
        try:
          a2 = check2(a2)
          key = f"w:...:{a0 if a0.isascii() and a0.isalnum() else escape(a0)},{a1},{encode2(a2)}".encode()
        except ValueError: return slow(args)
        if len(key) <= 218: return key, (a0,a1,a2,)
      return slow(args)

A condition accepts only values that are canonical; everything unusual (a subclass, a value that does not fit,
a key that is too long) goes to `slow`, which asks the param types alone. A property test compares both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from inspect import Parameter
from typing import Any
from zlib import crc32

from warmer.core.params import ParamType
from warmer.core.tokens import escape

Args = tuple[Any, ...]
KeyOf = Callable[..., tuple[bytes, Args]]
KeyFrom = Callable[[Args, dict[str, Any]], tuple[bytes, Args]]

# For each simple form: when a value is canonical, and the expression of its token. An int of too many digits
# raises ValueError, a long one makes the key too long: both end in `slow`. Within these bounds a float's repr
# has no exponent, and the float is not -0.0.
_INLINED = {
    "str": ("type({a}) is str", "{a} if {a}.isascii() and {a}.isalnum() else escape({a})"),
    "int": ("type({a}) is int", "{a}"),
    "bool": ("type({a}) is bool", "'true' if {a} else 'false'"),
    "float": ("type({a}) is float and (1e-4 <= {a} < 1e15 or -1e15 < {a} <= -1e-4)", "repr({a})"),
    "date": ("type({a}) is date", "{a}.isoformat()"),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a builder is compiled from.

    stems: what stands before the tokens in a key, by shard. seed: the CRC-32 of what stands before the tokens
    in the text that decides on the shard. longest: how many bytes of tokens fit into a key. slow: from bound
    arguments to the result, or a ParamError. unbound: the error for arguments that do not bind.
    """

    parameters: Sequence[Parameter]
    types: Sequence[ParamType]
    stems: Sequence[str]
    seed: int
    longest: int
    slow: Callable[[Args], tuple[bytes, Args]]
    unbound: Callable[[dict[str, Any], TypeError], Exception]


def compile_builder(plan: Plan) -> tuple[KeyOf, KeyFrom]:
    """`key_of(*args, **kwargs)`, and `key_from(args, kwargs)` for a caller that has them packed already.

    Both give the Redis key and the canonical arguments in the order of the signature.
    """
    names: dict[str, Any] = {
        "crc32": crc32,
        "date": date,
        "escape": escape,
        "unbound": plan.unbound,
        "slow": plan.slow,
        "stems": [stem.encode() for stem in plan.stems],
    }
    for at, (parameter, kind) in enumerate(zip(plan.parameters, plan.types, strict=True)):
        names |= {f"default{at}": parameter.default, f"check{at}": kind.check, f"encode{at}": kind.encode}
    lines = [_binder(plan.parameters)]
    for head in ("def key_from(args, kwargs):", "def key_of(*args, **kwargs):"):
        lines += [head, *_body(plan)]
    # Written from identifiers, numbers and escaped names only: no value ever becomes code.
    exec(compile("\n".join(lines), "<warmer key builder>", "exec"), names)
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
        "    except TypeError as wrong: raise unbound(kwargs, wrong) from None",
    ]
    forms = [kind.simple for kind in plan.types]
    places = "".join(f"a{at}," for at in range(count))
    conditions = [_condition(form, f"a{at}") for at, form in enumerate(forms) if form]
    checks = [f"      a{at} = check{at}(a{at})" for at, form in enumerate(forms) if not form]
    tokens = ",".join(f"{{{_token(form, at)}}}" for at, form in enumerate(forms))
    result = f"({places})" if checks else "args"
    return [
        *lines,
        f"  {places} = args" if count else "  pass",
        f"  if {' and '.join(conditions) or 'True'}:",
        "    try:",
        *checks,
        *_key(plan, tokens, result),
        "    except ValueError: pass",
        "  return slow(args)",
    ]


def _key(plan: Plan, tokens: str, result: str) -> list[str]:
    if len(plan.stems) == 1:
        stem = plan.stems[0]
        written = stem.replace("{", "{{").replace("}", "}}")
        return [
            f'      key = f"{written}{tokens}".encode()',
            f"      if len(key) <= {plan.longest + len(stem)}: return key, {result}",
        ]
    return [
        f'      token = f"{tokens}".encode()',
        f"      if len(token) <= {plan.longest}:",
        f"        return stems[crc32(token, {plan.seed}) % {len(plan.stems)}] + token, {result}",
    ]


def _condition(form: str, name: str) -> str:
    condition = _INLINED[form.rstrip("?")][0].format(a=name)
    return f"({name} is None or {condition})" if form.endswith("?") else f"({condition})"


def _token(form: str | None, at: int) -> str:
    if form is None:
        return f"encode{at}(a{at})"
    token = _INLINED[form.rstrip("?")][1].format(a=f"a{at}")
    return f"'~' if a{at} is None else {token}" if form.endswith("?") else token
