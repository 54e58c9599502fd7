"""The process's own loads: flights of one key, heartbeat, clean loads, wake-ups and tallies."""

from __future__ import annotations
