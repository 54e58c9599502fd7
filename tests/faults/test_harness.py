"""All promises at once, shortly: the long run is `python -m tests.faults.harness --reads 10000000`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from warmer.testing import python

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]


def run(pg_url: str, *arguments: str) -> tuple[int, str]:
    """One run on a database of the test's; its exit code, and what it says."""
    asked = ["--database", pg_url, "--readers", "2", "--threads", "3", "--pace", "0.05", *arguments]
    with python("-m", "tests.faults.harness", *asked, cwd=ROOT, name="harness") as child:
        return child.wait(150), child.output()


def test_nothing_wrong_is_read_whatever_is_killed(pg_url: str) -> None:
    """Writers, readers and workers, paused and killed, over a server that is set back: all is right."""
    said = ""
    for limit in ("15", "60"):  # again, and for longer, where a slow machine gave too few of them
        code, said = run(pg_url, "--reads", "15000", "--limit", limit)
        assert code == 0, said
        if _figure("reads", said) > 50 and _figure("writes", said) > 3:
            return
    pytest.fail(said)


def _figure(of: str, said: str) -> int:
    found = re.search(rf"^{of} +([\d,]+)", said, re.M)
    assert found is not None, said
    return int(found[1].replace(",", ""))


def test_a_part_taken_out_is_seen(pg_url: str) -> None:
    """Where readers do not look whose value is under their key, the same run reads another's."""
    code, said = run(pg_url, "--reads", "10000000", "--limit", "100", "--without", "owner")

    assert code == 0, said
    assert "caught by promise 5: another's value" in said
