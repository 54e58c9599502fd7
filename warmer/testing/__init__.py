"""For tests of code that uses Warmer: servers, a movable clock, races, and what a write must invalidate."""

from __future__ import annotations
