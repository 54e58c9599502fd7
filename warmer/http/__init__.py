"""HTTP: from the entries that a response shows to its headers, and from an invalidation to a purge.

    from warmer.http import read                # in a page: the value, and the page's headers follow from it
    from warmer.http.starlette import Caching   # or .flask, or .django: around the application

    app.add_middleware(Caching)

docs/howto/http.md has the whole of it.
"""

from __future__ import annotations

from warmer.http.answer import CDN, SURROGATE, Dialect
from warmer.http.page import aread, read
from warmer.http.purgers import Cloudflare, Fastly, Varnish
from warmer.http.purging import Purger

__all__ = ["CDN", "SURROGATE", "Cloudflare", "Dialect", "Fastly", "Purger", "Varnish", "aread", "read"]
