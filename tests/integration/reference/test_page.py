"""The page of the reference deployment behind a Varnish: what a browser sees, and when it is fetched anew."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import httpx
import pytest

from tasks import desk, flights
from tasks.boards import departures
from tests.serving.varnish import VarnishServer
from warmer.testing import python, wait_until

ROOT = Path(__file__).resolve().parents[3]

#: UA 1545 from EWR on 1 January 2013: the first record of the data set. It left 2 minutes late.
FIRST, ORIGIN, DAY = 1, "EWR", date(2013, 1, 1)
BOARD = f"/boards/{ORIGIN}/{DAY}"


class Browser:
    """Keeps a page, asks each time whether it still holds, as `no-cache` says."""

    def __init__(self, client: httpx.Client) -> None:
        self._client, self._tag, self.shown = client, "", ""

    def visit(self) -> tuple[int, str]:
        """The status of the answer, and whether it was in the cache; `shown` is what the screen has."""
        answer = self._client.get(BOARD, headers={"If-None-Match": self._tag} if self._tag else {})
        assert answer.headers["cache-control"] == "public, no-cache"
        self._tag = answer.headers["etag"]
        if answer.status_code == 200:
            self.shown = answer.text
        return answer.status_code, answer.headers["x-cache"]


@pytest.fixture
def visitors(
    own_flights_db: Path,
    redis_url: str,
    varnish_binary: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[Browser, Browser]]:
    """Two browsers in front of a Varnish in front of the page; this process is the desk."""
    with VarnishServer(varnish_binary, tmp_path) as varnish, httpx.Client(base_url=varnish.url) as client:
        settings = dataclasses.replace(
            flights.settings, redis_url=redis_url, purge_url=varnish.url, purge_wait=30.0, purge_again=0.0
        )
        monkeypatch.setattr(flights, "settings", settings)
        flights.close()
        env = {
            "WARMER_REDIS_URL": redis_url,
            "WARMER_DATABASE_URL": f"sqlite:///{own_flights_db}",
            "WARMER_PURGE_URL": varnish.url,
        }
        with python("-m", "uvicorn", "demo.page:app", "--port", "0", cwd=ROOT, env=env, name="page") as page:
            address = page.wait_for_line(r"running on (http://127\.0\.0\.1:\d+)", timeout_s=60).group(1)
            varnish.start(address)
            yield Browser(client), Browser(client)
        flights.close()


def test_a_commit_is_on_the_next_page_and_an_unchanged_refresh_is_on_none(
    visitors: tuple[Browser, Browser],
) -> None:
    """After a report each browser's next visit shows it; a refresh that finds the same fetches nothing."""
    one, other = visitors
    assert [one.visit(), other.visit(), one.visit()] == [(200, "miss"), (200, "hit"), (304, "hit")]
    assert "<td>+2</td>" in _row(one)

    desk.report_delay(FIRST, 47)

    assert [one.visit(), other.visit(), one.visit()] == [(200, "miss"), (200, "hit"), (304, "hit")]
    assert "<td>+47</td>" in _row(one)
    assert _row(one) == _row(other)

    purges = flights.runtime().counts.snapshot()["purges"]
    departures.refresh(ORIGIN, DAY)
    counts = flights.runtime().counts.snapshot()

    assert [one.visit(), other.visit()] == [(304, "hit"), (304, "hit")]
    assert (counts["commits_unchanged"], counts["purges"]) == (1, purges)


def test_a_changed_refresh_is_on_the_next_page_soon(
    visitors: tuple[Browser, Browser], own_flights_db: Path
) -> None:
    """What was written past Warmer shows up with the next refresh, in browsers, too."""
    one, _ = visitors
    one.visit()
    with closing(sqlite3.connect(own_flights_db)) as connection, connection:
        connection.execute("UPDATE flights SET dep_delay_min = 48 WHERE id = ?", (FIRST,))
    assert one.visit() == (304, "hit")

    departures.refresh(ORIGIN, DAY)

    wait_until(lambda: one.visit()[0] == 200, description="the page to be fetched anew")
    assert "<td>+48</td>" in _row(one)


def _row(browser: Browser) -> str:
    return next(line for line in browser.shown.splitlines() if line.startswith(f'<tr id="{FIRST}"'))
