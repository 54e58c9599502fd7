"""How long tests wait for what must come about, and for a server that is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# No test waits that long unless it fails.
PATIENCE_S = 20.0
# A machine with too much to do answers late: its server must not count as away, for then reads go around it.
PATIENT = {"command_timeout": 5.0, "connect_timeout": 5.0, "invalidate_timeout": 5.0}


def patient(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a namespace, with patience unless they say themselves how long its server is waited for."""
    said = {*PATIENT, "lease"} & settings.keys()
    return {**settings} if said else {**PATIENT, **settings}
