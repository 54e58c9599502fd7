"""From the entries in a response to its headers: what browsers and shared caches may do with it; pure.

A browser can't be purged, and neither can a proxy on the way that nobody here knows of: both are told to ask
(`no-cache`) and are answered with 304 while nothing has changed. A shared cache that is purged is told apart
from them, by a field that only such caches read (RFC 9213 calls it a targeted field): it may keep the
response for as long as the entries are fresh, and serve it stale within their grace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from warmer.http.etags import entity_tag, is_known
from warmer.http.keys import fit
from warmer.http.part import Part, combined

Headers = list[tuple[str, str]]

# RFC 9110, section 15.1: those that caches keep without being told how long, but for 206, 405, 414 and 501,
# which say nothing of an entry. Left alone, a 404 that was made of an entry would outlive it in them.
_CACHEABLE = frozenset({200, 203, 204, 300, 301, 308, 404, 410})
# RFC 9110, section 15.4.5: what describes the content stays out of a 304, which has none.
_OF_CONTENT = frozenset(
    {"content-length", "content-type", "content-encoding", "content-language", "content-range"}
)
_OF_IDENTITY = frozenset({"cookie", "authorization", "*"})


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a shared cache that is purged is spoken to: by which field, and with which keys."""

    control: str
    keys: str
    separator: str


#: Varnish (with docs/varnish.vcl), Fastly and other surrogates.
SURROGATE = Dialect("Surrogate-Control", "Surrogate-Key", " ")
#: Cloudflare and others that read RFC 9213's CDN-Cache-Control.
CDN = Dialect("CDN-Cache-Control", "Cache-Tag", ",")


@dataclass(frozen=True, slots=True)
class Request:
    """What of a request decides."""

    method: str
    if_none_match: str | None = None
    authorized: bool = False

    @classmethod
    def of(cls, method: str, headers: Mapping[str, str]) -> Request:
        """From headers by their lower-case names."""
        return cls(method, headers.get("if-none-match"), "authorization" in headers)


def answer(
    parts: Sequence[Part],
    request: Request,
    status: int,
    headers: Headers,
    *,
    dialect: Dialect | None = None,
    version: str = "",
) -> tuple[int, Headers]:
    """The status and headers to send in place of `status` and `headers`; with 304, send no content.

    dialect: of the shared cache that is purged, None if there is none. version: of the page; what renders
    the same values otherwise must change it, or browsers go on showing the old page.

    A response without parts is left alone. So is one with a Cache-Control of its own, unless a part is
    private or sensitive and it does not say no-store.
    """
    if not parts:
        return status, headers
    whole, own = combined(parts), _own(headers)
    if whole.sensitive:
        return status, _replaced(headers, _to_nobody(dialect))
    private = whole.private or _is_personal(request, own)
    if "no-store" in own.get("cache-control", "") or ("cache-control" in own and not whole.private):
        return status, headers
    if request.method not in {"GET", "HEAD"} or status not in _CACHEABLE:
        return status, _replaced(headers, _to_one(dialect)) if private else headers
    told = _to_one(dialect) if private else _to_all(whole, dialect)
    told["Age"] = str(int(whole.age_s))
    if private:
        told["Vary"] = _varying(own.get("vary"), request, whole)
    return _validated(whole, request, status, _replaced(headers, told), own.get("etag"), version)


def _to_nobody(dialect: Dialect | None) -> dict[str, str]:
    """RFC 9111, section 5.2.2.5: no-store, for every cache."""
    return {"Cache-Control": "no-store"} | ({dialect.control: "no-store"} if dialect else {})


def _to_one(dialect: Dialect | None) -> dict[str, str]:
    """RFC 9111, section 5.2.2.7: private, for the browser alone, which asks each time (5.2.2.4)."""
    return {"Cache-Control": "private, no-cache"} | ({dialect.control: "no-store"} if dialect else {})


def _to_all(whole: Part, dialect: Dialect | None) -> dict[str, str]:
    """For anybody's browser; and for the shared cache that is purged, if there is one.

    RFC 9111, section 4.2.3: a cache takes Age off max-age, so what is left is counted from there. RFC 5861
    for what may be served stale.
    """
    browser_s = min(whole.browser_s, whole.fresh_s)
    asks = "no-cache" if browser_s < 1 else f"max-age={_until(whole, browser_s)}"
    told = {"Cache-Control": f"public, {asks}"}
    if dialect is None:
        return told
    keys = fit(whole.keys, dialect.separator)
    if not keys or whole.fresh_s < 1:
        return told | {dialect.control: "no-store"}
    stale = f"stale-while-revalidate={int(whole.grace_s)}, stale-if-error={int(whole.grace_s)}"
    kept = f"max-age={_until(whole, whole.fresh_s)}"
    return told | {dialect.control: f"{kept}, {stale}" if whole.grace_s >= 1 else kept, dialect.keys: keys}


def _until(whole: Part, seconds: float) -> int:
    return int(whole.age_s) + int(seconds)


def _is_personal(request: Request, own: Mapping[str, str]) -> bool:
    """Whether the response may be for one person, whatever it is made of.

    RFC 9111, section 3.5: the answer to a request with Authorization is not for others unless that is said,
    and only its author could say it. Frameworks say by Vary: Cookie that they have looked at the session.
    """
    return request.authorized or "set-cookie" in own or bool(_names(own.get("vary")) & _OF_IDENTITY)


def _varying(own: str | None, request: Request, whole: Part) -> str:
    """RFC 9110, section 12.5.5: the fields of the request that the response depends on."""
    if own is not None and "*" in own:
        return own
    named = [own] if own else []
    wanted = ["Cookie", "Authorization"] if whole.private else ["Authorization"] if request.authorized else []
    return ", ".join(named + [name for name in wanted if name.lower() not in _names(own)]) or "Cookie"


def _validated(
    whole: Part, request: Request, status: int, headers: Headers, own_tag: str | None, version: str
) -> tuple[int, Headers]:
    """With an entity tag, and as 304 when the client has it. RFC 9110, section 13.2.1: only for a 200."""
    if status != 200 or not (own_tag or whole.seed):
        return status, headers
    tag = own_tag or entity_tag(whole.seed, version)
    tagged = _replaced(headers, {"ETag": tag})
    if request.if_none_match is None or not is_known(request.if_none_match, tag):
        return status, tagged
    return 304, [(name, value) for name, value in tagged if name.lower() not in _OF_CONTENT]


def _own(headers: Headers) -> dict[str, str]:
    """The headers by lower-case name; repeated ones joined (RFC 9110, section 5.3)."""
    own: dict[str, str] = {}
    for name, value in headers:
        low = name.lower()
        own[low] = f"{own[low]}, {value}" if low in own else value
    return own


def _names(field: str | None) -> set[str]:
    return {name.strip().lower() for name in (field or "").split(",")} - {""}


def _replaced(headers: Headers, by: Mapping[str, str]) -> Headers:
    gone = {name.lower() for name in by}
    return [(name, value) for name, value in headers if name.lower() not in gone] + list(by.items())
