"""warmer.cli.init: a new project's files."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from warmer import Warmer
from warmer.cli.init import namespace_for, write_project
from warmer.errors import FolderNotEmpty, FolderNotWritable

FILES = {
    ".gitignore", "README.md", "pyproject.toml", "schedules/__init__.py", "schedules/mornings.py",
    "tasks/__init__.py", "tasks/celery.py", "tasks/db.py", "tasks/orders.py", "tasks/sample.py",
}  # fmt: skip


def test_a_project_of_our_shape_is_written(tmp_path: Path) -> None:
    """Queries, plans and settings are each in their place, and no placeholder is left in them."""
    written = write_project(tmp_path / "new" / "shop")

    assert {str(path.relative_to(tmp_path / "new" / "shop")) for path in written} == FILES
    for path in written:
        text = path.read_text("utf-8")
        assert "$" not in text, path
        if path.suffix == ".py":
            compile(text, str(path), "exec")
    assert 'Warmer("shop")' in (tmp_path / "new/shop/tasks/__init__.py").read_text("utf-8")
    assert tomllib.loads((tmp_path / "new/shop/pyproject.toml").read_text("utf-8"))["tool"]["warmer"]


def test_a_folder_with_hidden_files_counts_as_empty(tmp_path: Path) -> None:
    """A repository or a virtual environment that is there already does no harm."""
    (tmp_path / ".git").mkdir()
    (tmp_path / ".venv").mkdir()

    assert len(write_project(tmp_path)) == len(FILES)


@pytest.mark.parametrize("there", ["notes.txt", ".gitignore"])
def test_what_is_there_is_never_written_over(tmp_path: Path, there: str) -> None:
    """A folder that holds anything, or a file of ours by another, is refused before anything is written."""
    (tmp_path / there).write_text("mine")

    with pytest.raises(FolderNotEmpty, match=f"already holds {there}. Nothing was written"):
        write_project(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "mine"


def test_a_file_of_that_name_is_told(tmp_path: Path) -> None:
    """A place where no folder can be is an error of ours, and not of the file system's."""
    (tmp_path / "shop").write_text("a file")

    with pytest.raises(FolderNotWritable, match="it is a file"):
        write_project(tmp_path / "shop")
    with pytest.raises(FolderNotWritable, match="Not a directory"):
        write_project(tmp_path / "shop" / "below")


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("shop", "shop"),
        ("My Shop", "My-Shop"),
        ("_private", "private"),
        ("日本", "shop"),
        ("x" * 90, "x" * 64),
    ],
)
def test_the_folders_name_is_the_namespaces_as_far_as_it_may_be(folder: str, name: str) -> None:
    """Every folder gives a name that a namespace accepts."""
    assert namespace_for(Path("/somewhere") / folder) == name
    assert Warmer(name).namespace == name
