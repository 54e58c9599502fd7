"""docs/howto/testing.md: its code works as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import warmer.testing
from warmer.testing import plugin, python

_PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "testing.md").read_text()
_BLOCK = re.compile(r"```python\n# (\S+\.py)( \(continued\))?\n(.*?)```", re.DOTALL)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The files that the page shows, written where it says."""
    for name, continued, code in _BLOCK.findall(_PAGE):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        assert path.exists() == bool(continued)
        with path.open("a") as file:
            file.write(code)
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    return tmp_path


def test_every_example_of_the_page_passes(project: Path) -> None:
    """A user who copies the page has five tests that pass, also in parallel."""
    for options in ([], ["-n", "2"]):
        with python("-m", "pytest", project, "-p", "no:cacheprovider", *options, cwd=project) as run:
            assert run.wait(100) == 0, run.output()
            assert "5 passed" in run.output()


def test_a_failure_is_shown_as_the_page_shows_it(project: Path) -> None:
    """The message in the page is the message that comes."""
    (project / "tests" / "test_wrong.py").write_text(
        "from tasks import delay, postpone\n"
        "from warmer.testing import assert_invalidates\n"
        "def test_it():\n"
        "    with assert_invalidates(delay, 'EWR', 12):\n"
        "        postpone('JFK', 11, minutes=30)\n"
    )
    with python("-m", "pytest", "tests/test_wrong.py", "-p", "no:cacheprovider", cwd=project) as run:
        assert run.wait(60) == 1
        report = run.output()
    shown = _PAGE.split("    NotInvalidated: ")[1].split("\n\n")[0]
    for line in shown.replace("served,\n    and", "served, and").splitlines():
        assert line.strip() in report


def test_every_fixture_is_in_the_table() -> None:
    """No fixture of the plugin is undocumented, and none that is documented is missing."""
    told = set(re.findall(r"^\| `(warmer_\w+)` \|", _PAGE, re.MULTILINE))
    assert told == {name for name in vars(plugin) if name.startswith("warmer_")}


def test_the_page_names_the_tools() -> None:
    """What users are offered is on the page."""
    tools = {"assert_invalidates", "bypass", "race", "using_server", "ValkeyServer", "wait_until", "python"}
    assert tools <= set(warmer.testing.__all__)
    assert all(f"{tool}(" in _PAGE for tool in tools)
