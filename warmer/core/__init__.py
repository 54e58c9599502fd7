"""What decides: keys, entry header, values, names, due times. No I/O, no clock, no random numbers."""

from __future__ import annotations
