"""What `redis_url` says: the options of redis-py's connections, to one server or to whom sentinels name."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from redis.backoff import NoBackoff
from redis.connection import Connection, parse_url
from redis.retry import Retry

from warmer.errors import WrongRedisUrl
from warmer.settings import Settings
from warmer.store.sentinels import PORT, Address, Sentinels, following

#: Ends the scheme of a URL that lists sentinels: redis+sentinel, rediss+sentinel.
SENTINEL = "+sentinel"
#: Options of the URL that are about the sentinels themselves, and what redis-py calls them.
_OF_SENTINELS = {"sentinel_username": "username", "sentinel_password": "password"}


def connecting(settings: Settings) -> tuple[type[Connection], dict[str, Any]]:
    """The class of the connections that `redis_url` asks for, and what they are made with.

    Raises WrongRedisUrl. Nothing is connected.
    """
    timeouts = {
        "socket_timeout": settings.command_timeout,
        "socket_connect_timeout": settings.connect_timeout,
    }
    url = settings.redis_url
    try:
        if urlsplit(url).scheme.endswith(SENTINEL):
            kind, options = _followed(url, timeouts)
        else:
            options = _read(url)
            kind = options.pop("connection_class", Connection)
        kind(**options)  # it connects later
    except (ValueError, TypeError) as exc:
        raise WrongRedisUrl(url, str(exc)) from exc
    return kind, options | timeouts


def _read(url: str) -> dict[str, Any]:
    """What redis-py makes of a URL, and what it would pass over in silence or stumble on later."""
    options: dict[str, Any] = dict(parse_url(url))
    parts = urlsplit(url)
    if parts.scheme != "unix" and not re.fullmatch(r"/?[0-9]*", parts.path):
        raise ValueError(f"{parts.path!r} is not the number of a database")
    return options


def _followed(url: str, timeouts: dict[str, float]) -> tuple[type[Connection], dict[str, Any]]:
    """Of redis+sentinel://user:password@host:port,host:port/service/db?options."""
    parts = urlsplit(url)
    who, at, hosts = parts.netloc.rpartition("@")
    addresses = [_address(host) for host in hosts.split(",")]
    service, _, db = parts.path.removeprefix("/").partition("/")
    if not service:
        raise ValueError("it does not say which service the sentinels watch")
    given = parse_qsl(parts.query, keep_blank_values=True)
    known = [(name, value) for name, value in given if name not in _OF_SENTINELS]
    scheme = parts.scheme.removesuffix(SENTINEL)
    # As if it led to a server: user, password, database and TLS are the server's.
    options = _read(f"{scheme}://{who}{at}server/{db}?{urlencode(known)}")
    kind = options.pop("connection_class", Connection)
    asking: dict[str, Any] = {_OF_SENTINELS[name]: value for name, value in given if name in _OF_SENTINELS}
    asking |= {name: value for name, value in options.items() if name.startswith("ssl_")} | timeouts
    asking |= {"ssl": scheme == "rediss", "decode_responses": True, "protocol": 2}
    asking["retry"] = Retry(NoBackoff(), 0)
    options["connection_pool"] = Sentinels(addresses, unquote(service), asking)
    return following(kind), options


def _address(host: str) -> Address:
    parts = urlsplit(f"//{host}")
    if not parts.hostname:
        raise ValueError(f"{host!r} is not the host:port of a sentinel")
    return parts.hostname, parts.port or PORT
