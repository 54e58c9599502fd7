"""The `warmer` command."""

from __future__ import annotations


def main() -> None:
    """Run it. Exits with 0, 1 (what was asked for did not work out) or 2 (there is no such form of it)."""
    from warmer.cli.app import run

    run()
