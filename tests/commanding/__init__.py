"""The `warmer` command line as tests use it: projects in a folder, and command lines said to them."""

from __future__ import annotations
