"""A page for browsers: `uvicorn demo.page:app`. What may be kept of it follows from the entry that it shows.

docs/howto/http.md says how to put a Varnish in front of it. It is no part of what `make demo` plays.
"""

from __future__ import annotations

from datetime import date
from html import escape

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from tasks.boards import Departure, departures
from warmer.http import read
from warmer.http.starlette import Caching

__all__ = ["app"]

#: To be changed with what the pages below look like: browsers keep them as long as the entries are the same.
VERSION = "1"

app = FastAPI(title="Departures", openapi_url=None)
app.add_middleware(Caching, version=VERSION)


@app.get("/boards/{origin}/{day}", response_class=HTMLResponse)
def board(origin: str, day: date) -> str:
    """The departures board of an airport (EWR, JFK, LGA) and day."""
    flights_of_day = read(departures.bind(origin, day))
    lines = "\n".join(map(_line, flights_of_day))
    title = f"{escape(origin)}, {day:%A %d %B %Y}"
    return f"<!doctype html><title>{title}</title>\n<h1>{title}</h1>\n<table>\n{lines}\n</table>\n"


def _line(one: Departure) -> str:
    late = "" if one.delay_min is None else f"{one.delay_min:+d}"
    cells = (f"{one.scheduled:%H:%M}", one.flight, one.airline, one.dest_name, late)
    return f'<tr id="{one.flight_id}">' + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
