"""The house rules that a machine can check; CONTRIBUTING.md says them in words."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import warmer

ROOT = Path(__file__).parents[2]
CODE = ("warmer", "tasks", "schedules", "demo", "benchmarks")
MOST_LINES = {"tests": 600} | dict.fromkeys(CODE, 500)
MOST_LINES_OF_A_FUNCTION = 40
JUNK_DRAWERS = {"utils", "util", "common", "helpers", "helper", "base", "misc"}
# The core decides; what it needs of the world is given to it.
NOT_IN_CORE = {
    "apscheduler", "asyncio", "celery", "kombu", "logging", "random", "redis", "secrets", "socket",
    "sqlalchemy", "time",
}  # fmt: skip
EXCEPTIONS = tomllib.loads((ROOT / "sizes.toml").read_text(encoding="utf-8"))


def _modules(*folders: str) -> list[str]:
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(str(path.relative_to(ROOT)) for path in found if ".warmer" not in path.parts)


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"), module)


def _imports(module: str) -> Iterator[tuple[str, str]]:
    """Each import as (module, name); the name is empty for `import module`."""
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            yield from ((one.name, "") for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", one.name) for one in node.names)


def _functions(
    tree: ast.AST, outer: str = ""
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        name = outer
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{outer}.{node.name}".lstrip(".")
            if not isinstance(node, ast.ClassDef):
                yield name, node
        yield from _functions(node, name)


def _lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


each_module = pytest.mark.parametrize("module", _modules(*CODE, "tests"))
each_of_warmer = pytest.mark.parametrize("module", _modules("warmer"))
each_of_core = pytest.mark.parametrize("module", _modules("warmer/core"))
each_test_module = pytest.mark.parametrize("module", _modules("tests"))
each_of_the_users_rooms = pytest.mark.parametrize("module", _modules("tasks", "schedules"))
each_script = pytest.mark.parametrize(
    "script", sorted(path.name for path in (ROOT / "warmer/lua").glob("*.lua"))
)


@each_module
def test_a_file_has_one_job_and_so_is_not_long(module: str) -> None:
    """A file is at most 500 lines long (tests: 600), or listed with a reason and not longer than listed."""
    lines = len((ROOT / module).read_text(encoding="utf-8").splitlines())
    cap = MOST_LINES[module.partition("/")[0]]
    listed = EXCEPTIONS["lines"].get(module)

    assert lines <= (listed or cap)
    assert listed is None or cap < listed == lines, f"sizes.toml can say less for {module}: {lines}"


@each_module
def test_a_function_fits_on_a_screen(module: str) -> None:
    """A function is at most 40 lines long without its docstring, or listed likewise."""
    for name, function in _functions(_tree(module)):
        lines = _lines_of(function)
        listed = EXCEPTIONS["functions"].get(f"{module}::{name}")

        assert lines <= (listed or MOST_LINES_OF_A_FUNCTION), f"{module}::{name} has {lines} lines"
        assert listed is None or MOST_LINES_OF_A_FUNCTION < listed == lines, f"sizes.toml: {name} has {lines}"


def test_every_exception_is_of_something_that_exists() -> None:
    """What is listed in sizes.toml has not been renamed or removed."""
    modules = set(_modules(*CODE, "tests"))
    listed = {name.partition("::")[0] for name in EXCEPTIONS["functions"]} | set(EXCEPTIONS["lines"])
    functions = {f"{m}::{name}" for m in listed & modules for name, _ in _functions(_tree(m))}

    assert listed <= modules
    assert set(EXCEPTIONS["functions"]) <= functions


@each_module
def test_no_module_is_a_junk_drawer(module: str) -> None:
    """A module is called after its one job."""
    assert not JUNK_DRAWERS & {part.removesuffix(".py").strip("_") for part in Path(module).parts}


@each_of_core
def test_the_core_does_no_io_and_has_no_clock_and_no_dice(module: str) -> None:
    """Nothing in warmer/core/ imports a driver, a clock, random numbers or a log."""
    assert not NOT_IN_CORE & {imported.partition(".")[0] for imported, _ in _imports(module)}


@each_of_core
def test_the_core_knows_nothing_of_the_rooms_around_it(module: str) -> None:
    """Of warmer, the core imports itself and the errors."""
    ours = {imported for imported, _ in _imports(module) if imported.partition(".")[0] == "warmer"}

    assert {name for name in ours if not name.startswith(("warmer.core", "warmer.errors"))} == set()


@each_of_warmer
def test_the_engine_knows_nothing_of_flights(module: str) -> None:
    """The engine imports neither the reference deployment nor the tests."""
    assert not {imported.partition(".")[0] for imported, _ in _imports(module)} & {
        "benchmarks", "demo", "schedules", "tasks", "tests",
    }  # fmt: skip


@each_of_warmer
def test_nothing_is_ever_pickled(module: str) -> None:
    """The engine imports no module that runs code when it reads data."""
    assert not {imported.partition(".")[0] for imported, _ in _imports(module)} & {
        "cloudpickle", "dill", "marshal", "pickle", "shelve",
    }  # fmt: skip


@each_of_the_users_rooms
def test_queries_and_plans_use_public_names_only(module: str) -> None:
    """tasks/ and schedules/ import of warmer what anybody may, and none of the parts that it is made of."""
    for imported, name in _imports(module):
        package = imported.partition(".")[0]

        assert package not in {"apscheduler", "celery", "kombu", "redis"}
        if package == "warmer":
            assert imported == "warmer"
            assert name in warmer.__all__


@each_of_the_users_rooms
def test_queries_and_plans_have_a_docstring_for_those_on_call(module: str) -> None:
    """Whoever is woken by a query's name finds a sentence on what it is for."""
    for name, function in _functions(_tree(module)):
        if any(isinstance(one, ast.Call) for one in function.decorator_list):
            assert ast.get_docstring(function), f"{module}::{name}"


@each_test_module
def test_a_test_says_in_a_sentence_what_it_shows(module: str) -> None:
    """Each test has a docstring that is a sentence."""
    for name, function in _functions(_tree(module)):
        if function.name.startswith("test_"):
            said = (ast.get_docstring(function) or "").strip()

            assert said.endswith("."), f"{module}::{name}"
            assert len(said.split()) >= 3, f"{module}::{name}"


@each_test_module
def test_a_test_waits_for_a_condition_and_never_for_a_time(module: str) -> None:
    """No test sleeps: warmer.testing.wait_until waits for what it needs. (Programs that tests start may.)"""
    if not Path(module).name.startswith(("test_", "conftest")):
        return
    calls = [node.func for node in ast.walk(_tree(module)) if isinstance(node, ast.Call)]
    sleeps = [ast.unparse(called) for called in calls if ast.unparse(called) == "time.sleep"]

    assert sleeps == []
    assert ("time", "sleep") not in set(_imports(module))


@each_script
def test_a_script_says_what_it_does_takes_and_returns(script: str) -> None:
    """A Lua file opens with its name and purpose; one that is run says what it takes, returns, and why."""
    header = _header(script)

    assert re.match(rf"-- {re.escape(script)}: \S", header)
    if not script.startswith("_"):
        assert re.search(r"^-- KEYS\[1\]", header, re.MULTILINE)
        assert re.search(r"^-- returns +\S", header, re.MULTILINE)
        assert re.search(r"^-- why +\S", header, re.MULTILINE)


@each_script
def test_a_scripts_header_names_the_slots_that_its_body_uses(script: str) -> None:
    """No KEYS[n] or ARGV[n] is used that the header does not name."""
    if script.startswith("_"):
        return
    header = _header(script)
    body = (ROOT / "warmer/lua" / script).read_text(encoding="utf-8").removeprefix(header)
    from_here = [(kind, int(n)) for kind, n in re.findall(r"(KEYS|ARGV)\[(\d+)\.\.\]", header)]
    named = set(re.findall(r"(KEYS|ARGV)\[(\d+)", header))

    for kind, n in set(re.findall(r"(KEYS|ARGV)\[(\d+)\]", body)) - named:
        assert any(kind == open_kind and int(n) >= first for open_kind, first in from_here), f"{kind}[{n}]"


@each_script
def test_a_script_never_walks_the_whole_keyspace(script: str) -> None:
    """No script holds the server up with KEYS, SCAN or a flush."""
    body = (ROOT / "warmer/lua" / script).read_text(encoding="utf-8").removeprefix(_header(script))

    assert not re.search(r"""call\(\s*['"](?:KEYS|SCAN|FLUSHALL|FLUSHDB)['"]""", body, re.IGNORECASE)


def _header(script: str) -> str:
    text = (ROOT / "warmer/lua" / script).read_text(encoding="utf-8")
    found = re.match(r"(?:--[^\n]*\n)+", text)
    return found.group() if found else ""


def test_keys_are_built_in_one_place() -> None:
    """Outside of warmer/core no module writes the prefix of a Redis key."""
    outside = [m for m in _modules("warmer") if not m.startswith("warmer/core/key")]

    assert [m for m in outside if re.search(r"""["'`]w:\{""", (ROOT / m).read_text(encoding="utf-8"))] == []


def _own_texts() -> list[Path]:
    texts = [
        ROOT / name
        for name in ("Makefile", "pyproject.toml", "constraints.txt", "docker-compose.yml", "Dockerfile")
    ]
    for folder in (*CODE, "tests", "docs", ".ci"):
        texts += [
            p for p in (ROOT / folder).rglob("*") if p.suffix in {"", ".py", ".md", ".lua", ".toml", ".yml"}
        ]
    texts += ROOT.glob("*.md")
    return [path for path in texts if path.is_file() and not {"__pycache__", ".warmer"} & set(path.parts)]


def test_no_file_names_a_package_registry() -> None:
    """Where packages come from is the business of the machine that installs them."""
    hosts = re.compile(
        "pypi" + r"\.org|python" + r"hosted\.org|--(?:extra-)?index" + r"-url|registry\.npm" + "js"
    )

    assert [p for p in _own_texts() if hosts.search(p.read_text(encoding="utf-8", errors="replace"))] == []
