"""The `warmer` command."""

from __future__ import annotations


def main() -> None:
    """Run it; exits with 0, 1 (what was asked for did not work out) or 2 (it was not understood)."""
    from warmer.cli.app import run

    run()
