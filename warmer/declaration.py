"""From a decorated function to a query. Every mistake is an error here, and nothing is registered."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Collection, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from warmer.core.keys import KeyFactory
from warmer.core.signature import Params, read_params
from warmer.core.values import Codec
from warmer.dependencies import Dependencies, read_dependencies
from warmer.errors import (
    IdentityUnscoped,
    InvalidOption,
    SealKeyMissing,
    UnstorableResult,
    UnsupportedSignature,
    did_you_mean,
    show,
)
from warmer.errors.root import hint
from warmer.near.reading import NearReading
from warmer.options import MISSES, Options, one_of, read_soft_timeout, read_ttl, seconds, whole
from warmer.reading import Reading
from warmer.runtime.process import Runtime
from warmer.settings import Settings
from warmer.strict.declared import strictly, version_of

if TYPE_CHECKING:
    from warmer.sealing import Sealer


class Public:
    """The scope of a query whose results anybody may see."""

    def __repr__(self) -> str:
        """As it is written."""
        return "PUBLIC"


PUBLIC: Final = Public()
UNSAID: Final = Public()

KEEPS: Final[Mapping[Any, Any]] = {True: "always", False: "never", "while_read": "while_read"}


def declare(
    fn: Callable[..., Any],
    *,
    settings: Settings,
    runtime_of: Callable[[], Runtime],
    name: str | None,
    version: str | None,
    depends_on: Mapping[Any, Any] | str,
    tags: Collection[str],
    scope: object,
    resources: Mapping[str, Callable[[], Any]],
    options: Mapping[str, Any],
) -> Reading[Any]:
    """Everything about a query that its decorator says, checked. Raises DecorationError."""
    query = _named(fn, name)
    checked = read_options(query, options)
    _check_resources(fn, query, resources)
    params = read_params(fn, query, tuple(resources))
    owner = _scope(query, scope, params, settings)
    codec = _codec(fn, query, settings, sensitive=checked.sensitive)
    dependencies = _dependencies(query, params, depends_on, tags, owner)
    version = version or codec.type_digest
    if checked.consistency == "strict":
        dependencies = strictly(query, dependencies, checked)
        version += version_of(dependencies)
    keys = KeyFactory(settings.namespace, settings.shards, query, version, params.signature, params.types)
    batch = _batch(query, options["batch"])
    return (NearReading if checked.near_s else Reading)(
        query,
        fn,
        inspect.iscoroutinefunction(fn),
        checked,
        keys,
        codec,
        dependencies,
        dict(resources),
        runtime_of,
        batch,
        _sealer(query, sensitive=checked.sensitive, scoped=owner is not None, settings=settings),
    )


def _codec(fn: Callable[..., Any], query: str, settings: Settings, *, sensitive: bool) -> Codec:
    # Compressed, a secret's length would tell how much of it is repeated by what else is in the value.
    over = settings.max_value_bytes if sensitive else settings.compress_over
    return Codec(_result_of(fn, query), query, over, settings.max_value_bytes, digested=not sensitive)


def _sealer(query: str, *, sensitive: bool, scoped: bool, settings: Settings) -> Sealer | None:
    """What seals its entries: where there is a key, what is private, and what is sensitive always."""
    if settings.seal_key is None:
        if sensitive:
            raise SealKeyMissing(query)
        return None
    if not (sensitive or scoped):
        return None
    from warmer.sealing import Sealer

    return Sealer(settings.seal_key)


def read_options(query: str, given: Mapping[str, Any]) -> Options:
    """The options of `cached`, checked one by one. Raises InvalidOption."""
    ttl_s, learned = read_ttl(query, given["ttl"], bool(given["sensitive"]))
    longest_s = learned.most_us / 1e6 if learned else ttl_s
    grace = given["grace"]
    grace_s = ttl_s if grace is None else seconds(query, "grace", grace)
    keep = given["keep_warm"]
    one_of(query, "keep_warm", keep, tuple(KEEPS))
    idle = given["idle_after"]
    idle_s = 2 * longest_s if idle is None else seconds(query, "idle_after", idle, above=True)
    one_of(query, "miss", given["miss"], MISSES)
    one_of(query, "consistency", given["consistency"], ("eventual", "strict"))
    wait_s = seconds(query, "wait", given["wait"])
    timeout_s = seconds(query, "timeout", given["timeout"], above=True)
    priority = given["priority"]
    if priority is not None and (whole(query, "priority", priority, 0) > 9):
        raise InvalidOption(query, "priority", show(priority), "a whole number from 0 (first) to 9, or None")
    return Options(
        ttl_s=ttl_s,
        grace_s=grace_s,
        keep=KEEPS[keep],
        idle_s=idle_s,
        max_kept=whole(query, "max_kept", given["max_kept"], 0),
        consistency=given["consistency"],
        stale_after_write_s=seconds(query, "stale_after_write", given["stale_after_write"]),
        min_interval_s=seconds(query, "min_interval", given["min_interval"]),
        miss=given["miss"],
        wait_s=wait_s,
        timeout_s=timeout_s,
        adaptive=learned,
        grace_as_ttl=grace is None,
        soft_s=read_soft_timeout(query, given["soft_timeout"], wait_s, timeout_s, grace_s),
        early=_early(query, given["early"]),
        near_s=_near_s(query, given),
        source_lag_s=_source_lag_s(query, given),
        sensitive=bool(given["sensitive"]),
        browser_max_age_s=seconds(query, "browser_max_age", given["browser_max_age"]),
        queue=given["queue"],
        priority=priority,
    )


def _early(query: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 100:
        raise InvalidOption(query, "early", show(value), "a number from 0 to 100 (0: off)")
    return float(value)


def _near_s(query: str, given: Mapping[str, Any]) -> float:
    """How long a copy may be kept near: not at all where it must never be old, or leave a trace."""
    near_s = seconds(query, "near", given["near"])
    forbidding = {"consistency": given["consistency"] == "strict", "sensitive": bool(given["sensitive"])}
    for option, forbids in forbidding.items():
        if near_s and forbids:
            said = f"{option}={given[option]!r}"
            raise InvalidOption(query, "near", show(given["near"]), f"0, as it is declared with {said}")
    return near_s


def _source_lag_s(query: str, given: Mapping[str, Any]) -> float:
    """By how much its source may be behind: not at all where no entry may be older than the database."""
    lag_s = seconds(query, "source_lag", given["source_lag"])
    if lag_s and given["consistency"] == "strict":
        expected = "0, as it is declared with consistency='strict': let it load from the primary"
        raise InvalidOption(query, "source_lag", show(given["source_lag"]), expected)
    return lag_s


def _dependencies(
    query: str, params: Params, depends_on: Mapping[Any, Any] | str, tags: Collection[str], owner: str | None
) -> Dependencies:
    dependencies = read_dependencies(query, params.types, depends_on, tags, owner)
    if dependencies.auto:
        _listen(query)
    return dependencies


def _listen(query: str) -> None:
    """Hear what loads execute. Raises InvalidOption where there is no SQLAlchemy to hear it of."""
    try:
        from warmer.found.listening import listen
    except ImportError as exc:
        raise InvalidOption(
            query,
            "depends_on",
            show("auto"),
            f"a mapping {{Table: columns}}: SQLAlchemy can't be imported ({exc})",
        ) from exc
    listen()


def _named(fn: Callable[..., Any], name: str | None) -> str:
    if name is None:
        return _dotted(fn)
    if not isinstance(name, str) or not name:
        raise InvalidOption(show(fn), "name", show(name), "a text that is not empty")
    return name


def _dotted(fn: Callable[..., Any]) -> str:
    if not callable(fn) or inspect.isclass(fn) or not hasattr(fn, "__qualname__"):
        raise UnsupportedSignature(
            show(fn), "is not a function", "Decorate a function: `@flights.cached(ttl=300)` above its `def`."
        )
    dotted = f"{fn.__module__}.{fn.__qualname__}"
    if "<locals>" in fn.__qualname__ or "<lambda>" in fn.__qualname__:
        raise UnsupportedSignature(
            dotted,
            "is inside another function, so no worker can find it by its path",
            'Move it to module level, or give it a name: `@flights.cached(ttl=..., name="carrier_delays")`.',
        )
    return dotted


def _check_resources(fn: Callable[..., Any], query: str, resources: Mapping[str, Callable[[], Any]]) -> None:
    """Resources are the first positional params, in their order, so that the call's type can lose them."""
    if not isinstance(resources, Mapping):
        raise InvalidOption(query, "resources", show(resources), 'a mapping, as in {"session": SessionLocal}')
    parameters = list(inspect.signature(fn).parameters.values())
    first = [p.name for p in parameters[: len(resources)] if p.kind is not p.KEYWORD_ONLY]
    if first != list(resources):
        raise InvalidOption(
            query,
            "resources",
            show(list(resources)),
            f"the function's first params in their order; they are {first}",
        )
    for name, factory in resources.items():
        if not callable(factory):
            raise InvalidOption(query, f"resources[{name!r}]", show(factory), "a function that opens it")


def _batch(query: str, batch: object) -> Callable[..., Any] | None:
    if batch is not None and not callable(batch):
        expected = "a function of a list of calls, as in batch=many_delays, or None"
        raise InvalidOption(query, "batch", show(batch), expected)
    return batch


def _scope(query: str, scope: object, params: Params, settings: Settings) -> str | None:
    if isinstance(scope, str):
        if scope not in params.types:
            suggestion = did_you_mean(scope, params.types)
            raise InvalidOption(
                query,
                "scope",
                show(scope),
                f"one of its params ({hint(suggestion, params.types).rstrip('.')})",
            )
        return scope
    if scope is not UNSAID and scope is not PUBLIC:
        raise InvalidOption(query, "scope", show(scope), "PUBLIC or the name of one of its params")
    if scope is UNSAID:
        for param in params.types:
            if param.lower() in settings.identity_params:
                raise IdentityUnscoped(query, param)
    return None


def _result_of(fn: Callable[..., Any], query: str) -> Any:
    annotations = getattr(inspect.unwrap(fn), "__annotations__", {})
    if "return" not in annotations:
        raise UnstorableResult("nothing that is annotated", query, "write `-> list[Row]` or what it returns")
    holder = SimpleNamespace(__annotations__={"return": annotations["return"]})
    names = getattr(inspect.unwrap(fn), "__globals__", {})
    try:
        return typing.get_type_hints(holder, globalns=names, include_extras=True)["return"]
    except (NameError, AttributeError, SyntaxError, TypeError) as exc:
        raise UnstorableResult(
            str(annotations["return"]),
            query,
            f"the annotation can't be resolved where it is declared ({exc})",
        ) from exc
