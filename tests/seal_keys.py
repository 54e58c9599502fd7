"""Keys for the setting seal_key: other ones in each run."""

from __future__ import annotations

import secrets

KEY, OTHER_KEY = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
