"""What settings say about each other: contradictions, and the defaults that follow from other settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit


def contradictions(values: Mapping[str, Any], origins: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each pair of settings that can't both hold; values fit their kinds already."""
    lease, command = values["lease"], values["command_timeout"]
    if lease < 2 * command:
        yield (
            f"lease ({lease:g} s) is below twice command_timeout ({command:g} s): one slow heartbeat would "
            "lose it. Raise lease or lower command_timeout"
        )
    if values["invalidate_timeout"] < command:
        yield (
            f"invalidate_timeout ({values['invalidate_timeout']:g} s) is below command_timeout ({command:g} "
            "s): it could not be kept, since a single command may take longer. Raise it or lower "
            "command_timeout"
        )
    if values["claim"] < 2 * values["sweep_interval"]:
        yield (
            f"claim ({values['claim']:g} s) is below twice sweep_interval ({values['sweep_interval']:g} s): "
            "entries would be handed out again by the next sweep. Raise claim or lower sweep_interval"
        )
    if values["redis_away_loads"] > values["max_loads"]:
        yield (
            f"redis_away_loads ({values['redis_away_loads']}) is above max_loads ({values['max_loads']}), "
            "which bounds loads at all times. Lower it or raise max_loads"
        )
    if _is_guided(values) and values["broker_url"] is None and values["celery"] is None:
        yield (
            "redis_url lists sentinels or nodes of a cluster, and no broker can be made of that. Set "
            "broker_url (WARMER_BROKER_URL): Celery's brokers have URLs of their own"
        )
    if "+cluster:" in values["redis_url"] and values["shards"] != 1:
        yield (
            f"shards is {values['shards']}, and redis_url names a cluster, where a namespace is one slot. "
            "Nothing was started. Set shards=1, and spread queries over several namespaces"
        )
    if values["purger"] is not None and values["purge_url"] is not None:
        yield "the keyword purger and purge_url are both given, and each is a cache to purge. Leave one out"
    if values["celery"] is not None and origins.get("broker_url", "").startswith("the keyword"):
        yield "the keywords celery and broker_url are both given; the application has a broker. Leave one out"


def complete(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with those that follow from others filled in."""
    filled = dict(values)
    if filled["broker_url"] is None:
        # Else `celery` is given, and has a broker of its own.
        filled["broker_url"] = "" if _is_guided(filled) else broker_of(filled["redis_url"])
    if filled["queue"] is None:
        filled["queue"] = filled["namespace"]
    return filled


def _is_guided(values: Mapping[str, Any]) -> bool:
    """Whether `redis_url` lists who knows where the primary is, and not the primary."""
    return "+" in urlsplit(values["redis_url"]).scheme


def broker_of(redis_url: str) -> str:
    """The URL by which Celery finds the same Redis; user and password stay as they are written.

    A socket file is `redis+socket:///path?virtual_host=db` to Celery. Options of a connection that Celery
    does not know are left out, but for TLS, where Celery checks no certificate unless it's told to.
    """
    parts = urlsplit(redis_url)
    options = dict(parse_qsl(parts.query))
    db = options.get("db")
    if parts.scheme == "unix":
        return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={db or 0}"
    path = f"/{db}" if db else parts.path or "/0"
    if parts.scheme != "rediss":
        return f"redis://{parts.netloc}{path}"
    tls = {"ssl_cert_reqs": "required"} | {k: v for k, v in options.items() if k.startswith("ssl_")}
    return f"rediss://{parts.netloc}{path}?{urlencode(tls)}"
