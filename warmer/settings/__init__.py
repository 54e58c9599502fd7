"""One frozen `Settings` a namespace: built once, passed in, never a global."""

from __future__ import annotations

from warmer.settings.checks import broker_of
from warmer.settings.fields import IDENTITY_PARAMS, Settings

__all__ = ["IDENTITY_PARAMS", "Settings", "broker_of"]
