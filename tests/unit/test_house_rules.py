"""The house rules that a machine can check; CONTRIBUTING.md says them in words."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

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


MODULES = _modules(*CODE, "tests")
ENGINE = _modules("warmer")
CORE = _modules("warmer/core")
TESTS = _modules("tests")
USERS_ROOMS = _modules("tasks", "schedules")
SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "warmer/lua").glob("*.lua")}


def _packages(module: str) -> set[str]:
    return {imported.partition(".")[0] for imported, _ in _imports(module)}


def test_there_is_something_to_check() -> None:
    """The rules below are tried on files that exist, and not on empty lists."""
    assert all((MODULES, ENGINE, CORE, TESTS, USERS_ROOMS, SCRIPTS))


def test_a_file_has_one_job_and_so_is_not_long() -> None:
    """A file is at most 500 lines long (tests: 600), or listed with a reason and as long as listed."""
    lines = {m: len((ROOT / m).read_text(encoding="utf-8").splitlines()) for m in MODULES}

    assert {m: n for m, n in lines.items() if n > MOST_LINES[m.partition("/")[0]]} == EXCEPTIONS["lines"]


def test_a_function_fits_on_a_screen() -> None:
    """A function is at most 40 lines long without its docstring, or listed likewise."""
    lines = {f"{m}::{name}": _lines_of(function) for m in MODULES for name, function in _functions(_tree(m))}

    assert {name: n for name, n in lines.items() if n > MOST_LINES_OF_A_FUNCTION} == EXCEPTIONS["functions"]


def test_no_module_is_a_junk_drawer() -> None:
    """A module is called after its one job."""
    parts = {m: {part.removesuffix(".py").strip("_") for part in Path(m).parts} for m in MODULES}

    assert [m for m in MODULES if parts[m] & JUNK_DRAWERS] == []


def test_the_core_does_no_io_and_has_no_clock_and_no_dice() -> None:
    """Nothing in warmer/core/ imports a driver, a clock, random numbers or a log."""
    assert {m: _packages(m) & NOT_IN_CORE for m in CORE if _packages(m) & NOT_IN_CORE} == {}


def test_the_core_knows_nothing_of_the_rooms_around_it() -> None:
    """Of warmer, the core imports itself and the errors."""
    ours = {
        (m, imported) for m in CORE for imported, _ in _imports(m) if imported.partition(".")[0] == "warmer"
    }

    assert {(m, name) for m, name in ours if not name.startswith(("warmer.core", "warmer.errors"))} == set()


def test_the_engine_knows_nothing_of_flights() -> None:
    """The engine imports neither the reference deployment nor the tests."""
    assert [m for m in ENGINE if _packages(m) & {"benchmarks", "demo", "schedules", "tasks", "tests"}] == []


def test_nothing_is_ever_pickled() -> None:
    """The engine imports no module that runs code when it reads data."""
    assert [m for m in ENGINE if _packages(m) & {"cloudpickle", "dill", "marshal", "pickle", "shelve"}] == []


def test_queries_and_plans_use_public_names_only() -> None:
    """tasks/ and schedules/ import of warmer what anybody may, and none of the parts that it is made of."""
    foreign = [m for m in USERS_ROOMS if _packages(m) & {"apscheduler", "celery", "kombu", "redis"}]
    ours = {
        (m, at, name) for m in USERS_ROOMS for at, name in _imports(m) if at.partition(".")[0] == "warmer"
    }

    assert foreign == []
    named = {one for one in ours if one[1] == "warmer" and one[2] in warmer.__all__}
    # Whoever makes tables by themselves (Alembic, a loader) needs the outbox's.
    named |= {one for one in ours if (one[1], one[2]) == ("warmer.outbox", "schema")}
    assert ours - named == set()


def test_queries_and_plans_have_a_docstring_for_those_on_call() -> None:
    """Whoever is woken by a query's name finds a sentence on what it is for."""
    functions = [(m, *found) for m in USERS_ROOMS for found in _functions(_tree(m))]
    declared = [
        (m, name, f) for m, name, f in functions if any(isinstance(d, ast.Call) for d in f.decorator_list)
    ]

    assert declared
    assert [(m, name) for m, name, f in declared if not ast.get_docstring(f)] == []


def test_a_test_says_in_a_sentence_what_it_shows() -> None:
    """Each test has a docstring that is a sentence."""
    functions = [(m, *found) for m in TESTS for found in _functions(_tree(m))]
    said = {
        (m, name): (ast.get_docstring(f) or "").strip()
        for m, name, f in functions
        if f.name.startswith("test_")
    }

    assert [key for key, words in said.items() if not words.endswith(".") or len(words.split()) < 3] == []


def test_a_test_waits_for_a_condition_and_never_for_a_time() -> None:
    """No test sleeps: wait_until waits for what it needs. Programs that tests start may be slow."""
    waiting = [m for m in TESTS if Path(m).name.startswith(("test_", "conftest"))]
    calls = [(m, ast.unparse(n.func)) for m in waiting for n in ast.walk(_tree(m)) if isinstance(n, ast.Call)]

    assert [m for m, called in calls if called == "time.sleep"] == []
    assert [m for m in waiting if ("time", "sleep") in set(_imports(m))] == []


def _header(script: str) -> str:
    found = re.match(r"(?:--[^\n]*\n)+", SCRIPTS[script])
    return found.group() if found else ""


def test_a_script_says_what_it_does_takes_and_returns() -> None:
    """A Lua file opens with its name and purpose; one that is run says what it takes, returns, and why."""
    for script in SCRIPTS:
        header = _header(script)
        parts = ["KEYS\\[1\\]", "returns +\\S", "why +\\S"] if not script.startswith("_") else []

        assert re.match(rf"-- {re.escape(script)}: \S", header), script
        assert [part for part in parts if not re.search(rf"^-- {part}", header, re.MULTILINE)] == [], script


def test_a_scripts_header_names_the_slots_that_its_body_uses() -> None:
    """No KEYS[n] or ARGV[n] is used that the header does not name."""
    for script in SCRIPTS:
        header = _header(script)
        spans = re.findall(r"(KEYS|ARGV)\[(\d+)(\.\.)?(\d+)?\]", header)
        used = re.findall(r"(KEYS|ARGV)\[(\d+)\]", SCRIPTS[script].removeprefix(header))

        assert [one for one in used if not any(_spans(span, *one) for span in spans)] == [], script


def _spans(span: tuple[str, str, str, str], kind: str, slot: str) -> bool:
    """Whether `ARGV[3]`, `ARGV[3..]` or `ARGV[3..5]` covers a slot."""
    named, first, dots, last = span
    most = float(last) if last else float("inf") if dots else float(first)
    return named == kind and float(first) <= float(slot) <= most


def test_a_script_never_walks_the_whole_keyspace() -> None:
    """No script holds the server up with KEYS, SCAN or a flush."""
    walks = re.compile(r"""call\(\s*['"](?:KEYS|SCAN|FLUSHALL|FLUSHDB)['"]""", re.IGNORECASE)

    assert [script for script, text in SCRIPTS.items() if walks.search(text)] == []


def test_keys_are_built_in_one_place() -> None:
    """Outside of warmer/core no module writes the prefix of a Redis key."""
    outside = [m for m in ENGINE if not m.startswith("warmer/core/key")]

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
