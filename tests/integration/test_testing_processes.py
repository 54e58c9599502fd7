"""warmer.testing.processes: real children, and that none survives its parent."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.guarding.processes import alive
from warmer.errors import ServerNotStarted
from warmer.testing import ChildEnded, ChildProcess, NotReached, python, wait_until
from warmer.testing.processes import running_children

_READY_THEN_WAIT = """
import signal, sys
print("ready", *sys.argv[1:], flush=True)
signal.pause()
"""
_TICK = """
import itertools, time
for n in itertools.count():
    print("tick", n, flush=True)
    time.sleep(0.01)
"""
_WITH_GRANDCHILD = """
import subprocess, sys, signal
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print("grandchild", child.pid, flush=True)
signal.pause()
"""
_LAUNCHER = """
import signal, threading
from warmer.testing import ValkeyServer, python
started = []
def start():
    started.append(ValkeyServer().start().pid)
    started.append(python("-c", "import signal; signal.pause()").start().pid)
thread = threading.Thread(target=start)
thread.start()
thread.join()  # the children must not die with the thread that asked for them
print("started", *started, flush=True)
{end}
"""


def test_output_is_kept_and_lines_can_be_awaited() -> None:
    """stdout and stderr are in one log, arguments arrive, and a match gives its groups."""
    with python("-c", _READY_THEN_WAIT, "7", "x") as child:
        assert child.wait_for_line(r"^ready (\d+)").group(1) == "7"
        assert child.running
        assert child.returncode is None
    assert child.returncode == -signal.SIGTERM


def test_a_line_is_awaited_only_after_the_place_given() -> None:
    """What was written before does not satisfy a later wait."""
    with python("-c", _TICK) as child:
        child.wait_for_line("tick 3")
        after = len(child.output())
        seen = child.wait_for_line(r"tick (\d+)", after=after)
        assert seen.start() >= after


def test_a_child_that_ends_early_fails_the_wait_at_once_with_its_log() -> None:
    """Nobody waits ten seconds for a line of a process that has crashed."""
    with python("-c", "raise ValueError('no such table')") as child:
        with pytest.raises(ChildEnded, match=r"before writing /ready/(.|\n)*no such table"):
            child.wait_for_line("ready", timeout_s=60)
        assert child.wait() == 1


def test_a_line_that_does_not_come_is_reported_with_the_log() -> None:
    """The report shows what the process did write."""
    with python("-c", _READY_THEN_WAIT) as child:
        child.wait_for_line("ready")
        with pytest.raises(NotReached, match=r"to write /done/(.|\n)*ready"):
            child.wait_for_line("done", timeout_s=0.05)


def test_environment_and_folder_are_given(tmp_path: Path) -> None:
    """Variables are added and removed, the working directory is the one asked for, the log is kept."""
    os.environ["WARMER_TEST_GONE"] = "1"
    script = "import os; print(os.getcwd(), os.environ.get('ADDED'), os.environ.get('WARMER_TEST_GONE'))"
    log = tmp_path / "out.log"
    env = {"ADDED": "yes", "WARMER_TEST_GONE": None}
    with python("-c", script, env=env, cwd=tmp_path, log_path=log) as child:
        assert child.wait() == 0
    assert log.read_text() == f"{tmp_path} yes None\n"


def test_a_paused_child_does_nothing_until_it_is_resumed() -> None:
    """SIGSTOP and SIGCONT: it is alive, silent, and goes on where it was."""
    with python("-c", _TICK) as child:
        child.wait_for_line("tick 1")
        child.pause()
        wait_until(lambda: _state(child.pid) == "T", description="the child to be stopped")
        silent = len(child.output())
        assert child.running
        with pytest.raises(NotReached):
            child.wait_for_line("tick", after=silent, timeout_s=0.1)
        child.resume()
        child.wait_for_line("tick", after=silent)


def test_a_paused_child_can_be_stopped() -> None:
    """Leaving the block ends it even if the test failed while it was paused."""
    with python("-c", _TICK) as child:
        child.wait_for_line("tick")
        child.pause()
    assert child.returncode == -signal.SIGTERM


def test_a_child_that_ignores_sigterm_is_killed() -> None:
    """No test run hangs on a process that does not want to end."""
    script = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + _READY_THEN_WAIT
    child = python("-c", script).start()
    child.wait_for_line("ready")
    child.stop(timeout_s=0.1)
    assert child.returncode == -signal.SIGKILL
    child.close()


def test_kill_ends_the_process_alone_and_closing_ends_the_group() -> None:
    """kill -9 leaves its children as an out-of-memory killer does; leaving the block takes them, too."""
    with python("-c", _WITH_GRANDCHILD) as child:
        grandchild = int(child.wait_for_line(r"grandchild (\d+)").group(1))
        assert child.children() == [grandchild]
        assert child.kill() == -signal.SIGKILL
        assert alive(grandchild)
    wait_until(lambda: not alive(grandchild), description="the grandchild to end", timeout_s=30)


def test_an_interrupt_reaches_the_whole_group() -> None:
    """Ctrl-C in a terminal goes to every process of the command."""
    with python("-c", _WITH_GRANDCHILD) as child:
        grandchild = int(child.wait_for_line(r"grandchild (\d+)").group(1))
        child.interrupt()
        wait_until(lambda: not alive(grandchild), description="the grandchild to end", timeout_s=30)


@pytest.mark.parametrize("end", ["signal.pause()", "", "raise SystemExit(3)"])
def test_no_child_survives_its_parent(end: str) -> None:
    """A server and a script, started from a thread that has ended, die with the process: killed or ended."""
    with python("-c", _LAUNCHER.format(end=end)) as parent:
        server, script = map(int, parent.wait_for_line(r"started (\d+) (\d+)").groups())
        if end == "signal.pause()":
            assert alive(server)
            assert alive(script)
            parent.kill()
        wait_until(
            lambda: not alive(server) and not alive(script), description="the children to end", timeout_s=30
        )


def test_a_forked_child_does_not_end_its_parents_servers() -> None:
    """A fork that ends through sys.exit runs its parent's exit handlers, which must end nothing."""
    with python("-c", _READY_THEN_WAIT) as child:
        child.wait_for_line("ready")
        script = (
            "import os, sys, signal\n"
            "from warmer.testing import python\n"
            "child = python('-c', 'import signal; signal.pause()').start()\n"
            "if os.fork() == 0: sys.exit()\n"
            "os.wait()\n"
            "print('after', child.running, child.log_path.exists(), flush=True)\n"
        )
        with python("-c", script) as forking:
            assert forking.wait_for_line(r"after (.+)").group(1) == "True True"


def test_what_runs_is_known_until_it_ends() -> None:
    """The list of running children is what exit handlers and leak checks go by."""
    child = python("-c", _READY_THEN_WAIT)
    assert child not in running_children()
    with child:
        assert child in running_children()
    assert child not in running_children()


def test_a_program_that_is_missing_is_named() -> None:
    """Nothing is started, and the message names the program."""
    with pytest.raises(ServerNotStarted, match="no-such-program"):
        ChildProcess(["no-such-program"]).start()


def test_a_child_is_not_started_twice() -> None:
    """A second start would lose track of the first."""
    with python("-c", _READY_THEN_WAIT) as child, pytest.raises(RuntimeError, match=f"pid {child.pid}"):
        child.start()


def test_a_temporary_log_goes_with_the_child() -> None:
    """Closing removes what nobody asked to keep."""
    with ChildProcess([sys.executable, "-c", "print(1)"], name="one") as child:
        child.wait()
        assert child.log_path.exists()
    assert not child.log_path.exists()


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
