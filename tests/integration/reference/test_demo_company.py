"""The demo's readers and writer as real processes, in a play of a few seconds."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from demo import entries, play, scenery, stage
from demo.judging import Evidence
from demo.ledger import Ledger
from demo.messages import Batch
from demo.setting import Setting
from demo.stage import Company
from demo.standing import Standing
from tasks import db, flights

SETTING = Setting(seconds=4.0, reads_per_s=40.0, writes_per_s=1.0, readers=1, threads=4)


@pytest.fixture
def props(
    loaded_file: Path, tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[play.Props]:
    """A morning on a Redis of this test's own."""
    file = tmp_path / "flights.db"
    scenery.copy_flights(loaded_file, file)
    delays = scenery.open_the_day(file, SETTING.day, SETTING.seed)
    env = stage.environment(file, 60.0, SETTING.day.isoformat(), tmp_path / "statements.warmer")
    for name in ("WARMER_DATABASE_URL", "FLIGHTS_TODAY"):
        monkeypatch.setenv(name, env[name] or "")
    monkeypatch.setattr(flights, "settings", dataclasses.replace(flights.settings, redis_url=redis_url))
    flights.close()
    db.close()
    yield play.Props(tmp_path, env, delays, Console(file=io.StringIO()))
    flights.close()
    db.close()


def test_a_short_play_is_told_in_full_and_warmer_shows_nothing_stale(
    props: play.Props, redis_url: str
) -> None:
    """Both caches are asked alike, every delay comes with its proof, and only the plain cache is stale."""
    population = entries.population()
    for one in population:
        one.get()
    standing = Standing(SETTING, len(population), Evidence(120_000_000))

    class Quiet:
        """A stage on which nothing runs but what the test has started."""

        def check(self) -> None:
            """It cannot fail."""

    with (
        Ledger.create(props.folder / "ledger", len(population)) as ledger,
        Company(play.actors(SETTING, props, redis_url)) as company,
    ):
        play.see_what_is_there(standing, population)
        play.watch(standing, props, Quiet(), company)
        differing = play.differences(population, ledger)

    warm, plain = standing.columns(SETTING.seconds)
    assert standing.errors == []
    assert differing == []
    assert standing.writes == 4
    assert standing.invalidations >= 4 * 5
    assert warm.reads == plain.reads > 100
    assert warm.stale == 0
    assert plain.stale > 0
    assert warm.expired == 0
    assert warm.statements > 0 < plain.statements
    assert standing.last_flight != ""


def test_an_actor_that_fails_is_reported_with_its_log(props: play.Props, redis_url: str) -> None:
    """A process that cannot do its errand ends the play with an error that shows what it said."""
    broken = {**props.env, "FLIGHTS_TODAY": "tomorrow"}
    actors = play.actors(SETTING, dataclasses.replace(props, env=broken), redis_url)
    Ledger.create(props.folder / "ledger", 44).close()

    with pytest.raises(RuntimeError, match="FLIGHTS_TODAY is 'tomorrow'"), Company(actors):
        pytest.fail("nobody could be ready")


def test_lines_that_are_still_being_written_wait(tmp_path: Path) -> None:
    """What a process tells is taken line by line, once, and half a line not at all."""
    from demo.messages import Heard, Out, encode

    told, heard = tmp_path / "told.jsonl", Heard(tmp_path / "told.jsonl")
    assert heard.new() == []
    Out(told).tell(Batch("warmer", errors=["one"]))
    half = encode(Batch("warmer", errors=["two"]))
    with told.open("ab") as file:
        file.write(half[:10])
    assert [batch.errors for batch in heard.new()] == [["one"]]
    assert heard.new() == []
    with told.open("ab") as file:
        file.write(half[10:])
    assert [batch.errors for batch in heard.new()] == [["two"]]
