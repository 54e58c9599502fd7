"""`make bench`: one run of many parts."""

from __future__ import annotations

import pytest
import redis

import benchmarks.__main__ as bench
from benchmarks.rounds import Record


def test_a_part_that_fails_keeps_no_other_from_its_turn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told, the others' figures are shown, and each part has a server to itself."""

    def counted(url: str) -> list[Record]:
        with redis.Redis.from_url(url) as client:
            return [Record("keys", "there", float(client.incr("key")), "")]

    def broken(url: str) -> list[Record]:
        raise OSError("no such tool")

    monkeypatch.setattr(bench, "PARTS", {"one": counted, "two": broken, "three": counted})

    records, failed = bench.measured(["one", "two", "three"])

    assert (failed, [record.figure for record in records]) == (["two"], [1.0, 1.0])
    told = capsys.readouterr()
    assert "there" in told.out
    assert "no such tool" in told.err
    assert "[3 of 3] three" in told.err


def test_a_run_with_a_failed_part_says_so_at_its_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its exit code is 1."""
    monkeypatch.setattr(bench, "PARTS", {"one": lambda url: 1 / 0})
    monkeypatch.setattr("sys.argv", ["benchmarks"])

    with pytest.raises(SystemExit, match="failed: one"):
        bench.main()
