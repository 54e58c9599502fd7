"""`python -m warmer`: the command line."""

from __future__ import annotations

from warmer.cli import main

if __name__ == "__main__":
    main()
