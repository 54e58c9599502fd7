"""The `warmer` command."""

from __future__ import annotations
