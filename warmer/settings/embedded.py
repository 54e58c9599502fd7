"""The address of the server that `warmer up` has built in: scripts in its folder find it by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Final

#: The file in `.warmer/` that holds it.
ADDRESS: Final = "redis.url"


def embedded_address(folder: Path) -> str | None:
    """The URL that `warmer up` wrote in this folder or the nearest above it; None where it never ran."""
    for place in (folder, *folder.parents):
        address = place / ".warmer" / ADDRESS
        if address.is_file():
            return address.read_text("utf-8").strip() or None
    return None
