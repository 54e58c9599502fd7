"""One Lua script an operation; the files are package data."""

from __future__ import annotations
