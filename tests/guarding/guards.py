"""The guards as a pytest plugin."""

from __future__ import annotations

import faulthandler
import os
import threading
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key

from tests.guarding import namespaces, processes, sockets, threads
from warmer.namespace import Warmer
from warmer.testing.tether import adopt_orphans

_TESTS = Path(__file__).parent.parent
_WITHOUT_SERVERS = (_TESTS / "unit", _TESTS / "property")
#: A teardown's, in seconds. What else bounds a test is used up by a test that has failed.
_TEARDOWN_S = 100.0
_KEPT_SETTINGS = ("WARMER_RACE_", "WARMER_TEST_")

# What a fixture of more than one test has started may outlive a test.
_shared: set[int] = set()
_shared_threads: set[threading.Thread] = set()
_shared_namespaces: set[Warmer] = set()


def pytest_configure() -> None:
    """Forget the WARMER_... settings of the caller's shell, and see orphans."""
    for name in list(os.environ):
        if name.startswith("WARMER_") and not name.startswith(_KEPT_SETTINGS):
            del os.environ[name]
    adopt_orphans()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
    """Remember what a fixture of more than one test starts."""
    if fixturedef.scope == "function":
        return (yield)
    before, threads_before, opened_before = processes.children(), threads.of_warmer(), namespaces.opened()
    try:
        return (yield)
    finally:
        _shared_namespaces.update(namespaces.opened() - opened_before)
        _shared.update(processes.children() - before)
        _shared_threads.update(threads.of_warmer() - threads_before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Refuse connections to tests that must do without."""
    with ExitStack() as stack:
        if any(folder in item.path.parents for folder in _WITHOUT_SERVERS):
            stack.enter_context(sockets.refused())
        return (yield)


_before = pytest.StashKey[tuple[frozenset[int], frozenset[threading.Thread], frozenset[Warmer]]]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """Remember which processes, threads and open namespaces there are."""
    item.stash[_before] = processes.children(), threads.of_warmer(), namespaces.opened()
    yield


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Fail a test that leaves a process or a thread of Warmer behind; either is ended.

    Where it never ends all stacks are shown, and this process ends: the others go on.
    """
    stderr = item.config.stash[fault_handler_stderr_fd_key]
    faulthandler.dump_traceback_later(_TEARDOWN_S, file=stderr, exit=True)
    old_processes, old_threads, old_namespaces = item.stash[_before]
    try:
        yield
        left = processes.left_behind(old_processes | _shared)
        if left:
            _fail("these processes behind (now killed):\n" + "\n".join(left))
        left = threads.left_behind(old_threads | _shared_threads)
        if left:
            _fail("threads behind (close() the namespace): " + ", ".join(left))
    finally:
        namespaces.close_left(old_namespaces | _shared_namespaces)
        faulthandler.cancel_dump_traceback_later()


def _fail(what: str) -> None:
    pytest.fail(f"the test left {what}", pytrace=False)
