"""`warmer init DIR`: a working project of our shape."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from warmer.errors import FolderNotEmpty, FolderNotWritable

_NAMES = {"gitignore.txt": ".gitignore"}
_LONGEST_NAME = 64


def write_project(folder: Path) -> list[Path]:
    """Write the template into a new or empty folder (what begins with a dot may be there); the files written.

    Raises FolderNotEmpty before anything is written, and FolderNotWritable.
    """
    wanted = {
        folder / place: text for place, text in _templates(files("warmer.cli").joinpath("templates"), Path())
    }
    name = namespace_for(folder)
    try:
        _refuse_if_used(folder, wanted)
        for target, text in wanted.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(Template(text).substitute(name=name), "utf-8")
    except OSError as exc:
        raise FolderNotWritable(str(folder), exc.strerror or str(exc)) from exc
    return list(wanted)


def namespace_for(folder: Path) -> str:
    """A namespace's name that is the folder's, as far as it may be one."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name)
    return name.lstrip("._-")[:_LONGEST_NAME].rstrip("-") or "shop"


def _refuse_if_used(folder: Path, wanted: dict[Path, str]) -> None:
    if folder.exists() and not folder.is_dir():
        raise FolderNotWritable(str(folder), "it is a file")
    there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    used = [name for name in there if not name.startswith(".")]
    used += [str(path.relative_to(folder)) for path in wanted if path.exists()]
    if used:
        raise FolderNotEmpty(str(folder), used[0])


def _templates(room: Traversable, place: Path) -> Iterator[tuple[Path, str]]:
    for item in sorted(room.iterdir(), key=lambda each: each.name):
        if item.is_dir():
            yield from _templates(item, place / item.name)
        elif item.name.endswith(".txt"):
            name = _NAMES.get(item.name, item.name.removesuffix(".txt"))
            yield place / name, item.read_text("utf-8")
