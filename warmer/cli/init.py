"""`warmer init DIR`: a working project of our shape."""

from __future__ import annotations

import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from warmer.errors import FolderNotEmpty

_NAMES = {"gitignore.txt": ".gitignore"}


def write_project(folder: Path) -> list[Path]:
    """Write the template into a new or empty folder; the files written. Raises FolderNotEmpty, OSError."""
    found = next(iter(sorted(folder.iterdir())), None) if folder.is_dir() else None
    if found is not None:
        raise FolderNotEmpty(str(folder), found.name)
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", folder.resolve().name).strip("-") or "shop"
    written = []
    for source, place in _templates(files("warmer.cli").joinpath("templates"), Path()):
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(Template(source.read_text("utf-8")).safe_substitute(name=name), "utf-8")
        written.append(target)
    return written


def _templates(room: Traversable, place: Path) -> list[tuple[Traversable, Path]]:
    found: list[tuple[Traversable, Path]] = []
    for item in sorted(room.iterdir(), key=lambda each: each.name):
        if item.is_dir():
            found += _templates(item, place / item.name)
        elif item.name.endswith(".txt"):
            found.append((item, place / _NAMES.get(item.name, item.name.removesuffix(".txt"))))
    return found
