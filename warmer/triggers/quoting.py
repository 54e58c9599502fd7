"""SQL of identifiers and texts."""

from __future__ import annotations


def quoted(name: str) -> str:
    """A name as SQL writes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A text as standard SQL writes it."""
    return "'" + value.replace("'", "''") + "'"


def escaped(value: str) -> str:
    """A text as PostgreSQL reads it whatever its session says of backslashes."""
    return text(value) if "\\" not in value else "E" + text(value.replace("\\", "\\\\"))


__all__ = ["escaped", "quoted", "text"]
