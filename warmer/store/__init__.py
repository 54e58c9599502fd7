"""What Redis holds and the operations on it: connections, scripts, reads, leases, commits, invalidations."""

from __future__ import annotations
