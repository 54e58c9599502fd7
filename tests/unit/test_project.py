"""Finding a project: which modules are imported, and what is said of one that is not there or not ours."""

from __future__ import annotations

import importlib
import itertools
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from warmer.errors import ConfigurationError, NotAWarmerProject, ProjectNotFound
from warmer.project import find_project, own_traceback

Write = Callable[[str, str], None]
_numbers = itertools.count(1)

NAMESPACE = """
    from warmer import Warmer

    flights = Warmer("flights")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    # Another test of this process may have imported the reference deployment's.
    for name in [name for name in sys.modules if name.partition(".")[0] == "schedules"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def write(folder: Path) -> Write:
    """Write a file below the working directory; its packages get an empty `__init__.py`."""

    def write(path: str, source: str) -> None:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        for package in file.relative_to(folder).parents:
            if str(package) != "." and not (folder / package / "__init__.py").exists():
                (folder / package / "__init__.py").write_text("")
        file.write_text(textwrap.dedent(source))
        importlib.invalidate_caches()

    return write


@pytest.fixture
def package(write: Write) -> str:
    """A package with a namespace; its name is used once, since modules are kept by name."""
    name = f"unit_project_{next(_numbers)}"
    write(f"{name}/__init__.py", NAMESPACE)
    return name


def query(package: str, name: str) -> str:
    """A module that declares a query."""
    return f"""
        from {package} import flights

        @flights.cached(ttl=60)
        def {name}(n: int) -> int:
            return n
    """


# -- what is found


def test_every_module_below_is_imported(package: str, write: Write) -> None:
    """Queries are found in modules and in packages at any depth, in the order of their names."""
    write(f"{package}/boards.py", query(package, "departures"))
    write(f"{package}/late/__init__.py", query(package, "worst"))
    write(f"{package}/late/deep/delays.py", query(package, "delays"))

    assert list(find_project(package).queries) == [
        f"{package}.boards.departures", f"{package}.late.worst", f"{package}.late.deep.delays.delays",
    ]  # fmt: skip


def test_celery_is_left_to_celery(package: str, write: Write) -> None:
    """Neither `celery.py` nor `__main__.py` is imported by those who only look for queries."""
    write(f"{package}/celery.py", "raise AssertionError")
    write(f"{package}/__main__.py", "raise AssertionError")

    assert find_project(package).namespace == "flights"


def test_a_single_module_is_a_project(write: Write) -> None:
    """A project may be one file."""
    name = f"unit_project_{next(_numbers)}"
    write(f"{name}.py", NAMESPACE)

    assert find_project(name).namespace == "flights"


def test_the_namespace_may_be_in_a_module_below(write: Write) -> None:
    """The namespace need not be in `__init__.py`."""
    name = f"unit_project_{next(_numbers)}"
    write(f"{name}/app.py", NAMESPACE)

    assert find_project(name).namespace == "flights"


def test_one_of_several_namespaces_can_be_named(package: str, write: Write) -> None:
    """`package:name` picks one of several namespaces; without the name, the error lists them."""
    write(f"{package}/__init__.py", NAMESPACE + '\n    trains = Warmer("trains")\n')

    assert find_project(f"{package}:trains").namespace == "trains"
    with pytest.raises(NotAWarmerProject, match=r"2 namespaces \(flights, trains\)"):
        find_project(package)
    with pytest.raises(NotAWarmerProject, match="'planes' is not a Warmer"):
        find_project(f"{package}:planes")


def test_the_environment_may_name_the_project(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without -A, WARMER_APP says which package it is."""
    monkeypatch.setenv("WARMER_APP", package)

    assert find_project().namespace == "flights"


def test_pyproject_may_name_the_project(package: str, folder: Path) -> None:
    """Without -A and WARMER_APP, [tool.warmer] of pyproject.toml says which package it is."""
    (folder / "pyproject.toml").write_text(f'[tool.warmer]\napp = "{package}"\n')

    assert find_project().namespace == "flights"


# -- plans


def test_plans_in_schedules_are_found(package: str, write: Write) -> None:
    """The package `schedules` beside the project's is imported for its plans."""
    write("schedules/mornings.py", f"""
        from warmer import every
        from {package} import flights

        @flights.plan(every(60))
        def all_boards():
            yield from ()
    """)  # fmt: skip

    assert list(find_project(package).plans) == ["all_boards"]


def test_a_project_may_have_no_schedules(package: str) -> None:
    """Without a package of plans there are the plans of the project's own modules."""
    assert find_project(package).plans == {}


def test_schedules_of_somebody_else_are_left_alone(
    package: str, write: Write, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package `schedules` that is not beside the project's, anywhere on the path, is not imported."""
    other = tmp_path_factory.mktemp("other")
    (other / "schedules").mkdir()
    (other / "schedules" / "__init__.py").write_text("raise AssertionError")
    monkeypatch.syspath_prepend(str(other))

    assert find_project(package).plans == {}


def test_schedules_that_were_named_must_be_there(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of plans that a setting names and that is missing is an error."""
    monkeypatch.setenv("WARMER_SCHEDULES", "timetable")

    with pytest.raises(ProjectNotFound) as caught:
        find_project(package)

    assert caught.value.app == "timetable"


# -- what is not there, or not ours


@pytest.mark.parametrize(
    "app", ["nowhere_to_be_found", "nowhere.at.all", "./tasks", "tasks.py", "a b", "", "."]
)
def test_a_project_that_is_not_there(folder: Path, app: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing package is an error that names it and the folder that was looked into."""
    monkeypatch.setenv("WARMER_APP", "nowhere_to_be_found")

    with pytest.raises(ProjectNotFound) as caught:
        find_project(app)

    assert caught.value.app == (app or "nowhere_to_be_found")
    assert caught.value.searched == str(folder)


def test_a_package_that_is_not_ours(write: Write) -> None:
    """A package without a namespace is an error that says so."""
    name = f"unit_project_{next(_numbers)}"
    write(f"{name}/chores.py", "x = 1")

    with pytest.raises(NotAWarmerProject, match="holds no Warmer"):
        find_project(name)


def test_wrong_settings_are_told_first(package: str, folder: Path) -> None:
    """A mistake in pyproject.toml is an error of the settings, and not of the project."""
    (folder / "pyproject.toml").write_text('[tool.warmer]\nap = "tasks"\n')

    with pytest.raises(ConfigurationError, match="Did you mean app"):
        find_project()


# -- what does not import


def test_what_a_module_raises_is_raised(package: str, write: Write) -> None:
    """An error of a project's own comes out as it is, with a traceback that begins in the project's file."""
    write(f"{package}/boards.py", "def half():\n    return 1 / 0\n\nhalf()\n")

    with pytest.raises(ZeroDivisionError) as caught:
        find_project(package)

    lines = own_traceback(caught.value).splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].endswith('boards.py", line 4, in <module>')
    assert "warmer/project.py" not in own_traceback(caught.value)
    assert "importlib" not in own_traceback(caught.value)
    assert lines[-1] == "ZeroDivisionError: division by zero"


def test_a_module_that_a_project_lacks_is_its_own_error(package: str, write: Write) -> None:
    """A project that imports what is not installed is there: the error is about the missing module."""
    write(f"{package}/boards.py", "import a_module_that_nobody_has\n")

    with pytest.raises(ModuleNotFoundError, match="a_module_that_nobody_has"):
        find_project(package)


def test_a_package_above_that_fails_is_its_own_error(write: Write) -> None:
    """What the package above the project raises is raised."""
    name = f"unit_project_{next(_numbers)}"
    write(f"{name}/tasks/__init__.py", NAMESPACE)
    write(f"{name}/__init__.py", "import a_module_that_nobody_has\n")

    with pytest.raises(ModuleNotFoundError, match="a_module_that_nobody_has"):
        find_project(f"{name}.tasks")


def test_a_syntax_error_is_shown_at_its_place(package: str, write: Write) -> None:
    """A file that is no Python is shown with its line, and without the way there."""
    write(f"{package}/boards.py", "def broken(:\n    pass\n")

    with pytest.raises(SyntaxError) as caught:
        find_project(package)

    assert "boards.py" in own_traceback(caught.value)
    assert "def broken(:" in own_traceback(caught.value)
    assert "warmer/project.py" not in own_traceback(caught.value)
