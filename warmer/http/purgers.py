"""Purgers for a Varnish of one's own, and for two hosted caches."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote, urlsplit

from warmer.errors import PurgeFailed
from warmer.http.answer import CDN, SURROGATE

# Varnish reads a request's line of at most 8 KB (http_req_hdr_len), and makes one regex of it.
_MOST_CHARS = 4000
# "Up to 256 surrogate keys can be purged in one batch request", says Fastly.
_FASTLY_KEYS = 256
# What Cloudflare takes in one call on every plan.
_CLOUDFLARE_TAGS = 30


class Varnish:
    """Bans in one Varnish or several, which run docs/varnish.vcl: a request BAN with the keys in a header.

    urls: where each listens, as in "http://127.0.0.1:6081". timeout_s: for each of them to answer.
    """

    dialect = SURROGATE

    def __init__(self, *urls: str, timeout_s: float = 2.0) -> None:
        self._urls, self._timeout_s = urls, timeout_s

    def purge(self, keys: Sequence[str], /) -> None:
        """Ban in each. Raises PurgeFailed, after having tried all, if one did not confirm."""
        failed: PurgeFailed | None = None
        for url in self._urls:
            try:
                for some in _lines(keys):
                    _confirmed("BAN", f"{url}/", {"Surrogate-Key": some}, None, self._timeout_s)
            except PurgeFailed as exc:
                failed = exc
        if failed is not None:
            raise failed


class Fastly:
    """Purges by surrogate key in one Fastly service, in batches.

    token: with the scope purge_select. soft: mark as stale instead of dropping; what is stale may be served
    while it is fetched anew, so no reader is sure to see the change.
    """

    dialect = SURROGATE

    def __init__(
        self,
        service: str,
        token: str,
        *,
        soft: bool = False,
        url: str = "https://api.fastly.com",
        timeout_s: float = 5.0,
    ) -> None:
        self._url = f"{url}/service/{quote(service, safe='')}/purge"
        self._headers = {"Fastly-Key": token, "Accept": "application/json"}
        if soft:
            self._headers["Fastly-Soft-Purge"] = "1"
        self._timeout_s = timeout_s

    def purge(self, keys: Sequence[str], /) -> None:
        """One call for each 256 keys. Raises PurgeFailed."""
        for at in range(0, len(keys), _FASTLY_KEYS):
            body = {"surrogate_keys": list(keys[at : at + _FASTLY_KEYS])}
            _confirmed("POST", self._url, self._headers, body, self._timeout_s)


class Cloudflare:
    """Purges by cache tag in one zone of Cloudflare. token: of the API, with the permission Cache Purge."""

    dialect = CDN

    def __init__(
        self,
        zone: str,
        token: str,
        *,
        url: str = "https://api.cloudflare.com/client/v4",
        timeout_s: float = 5.0,
    ) -> None:
        self._url = f"{url}/zones/{quote(zone, safe='')}/purge_cache"
        self._headers = {"Authorization": f"Bearer {token}"}
        self._timeout_s = timeout_s

    def purge(self, keys: Sequence[str], /) -> None:
        """One call for each 30 tags. Raises PurgeFailed, also where the answer does not say success."""
        for at in range(0, len(keys), _CLOUDFLARE_TAGS):
            body = {"tags": list(keys[at : at + _CLOUDFLARE_TAGS])}
            answer = _confirmed("POST", self._url, self._headers, body, self._timeout_s)
            try:
                succeeded = json.loads(answer)["success"] is True
            except (ValueError, KeyError, TypeError):
                succeeded = False
            if not succeeded:
                raise PurgeFailed(self._url, f"it answered {answer[:200]!r}")


def _lines(keys: Sequence[str]) -> Iterator[str]:
    """The keys, with blanks between, in lines that are not too long."""
    line = ""
    for key in keys:
        if line and len(line) + len(key) >= _MOST_CHARS:
            yield line
            line = ""
        line = f"{line} {key}" if line else key
    if line:
        yield line


def _confirmed(method: str, url: str, headers: Mapping[str, str], body: object, timeout_s: float) -> bytes:
    """What a server answered to one request. Raises PurgeFailed unless with a status from 200 to 299."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout_s)
    sent = dict(headers)
    content = None if body is None else json.dumps(body, separators=(",", ":")).encode()
    if content is not None:
        sent["Content-Type"] = "application/json"
    try:
        connection.request(method, parts.path, body=content, headers=sent)
        response = connection.getresponse()
        answer = response.read(65536)
    except (OSError, http.client.HTTPException) as exc:
        raise PurgeFailed(url, f"{type(exc).__name__}: {exc}") from exc
    finally:
        connection.close()
    if not 200 <= response.status < 300:
        raise PurgeFailed(url, f"it answered {response.status} {answer[:200]!r}")
    return answer
