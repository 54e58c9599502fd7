"""Through the day: what becomes interesting as the hours pass."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select

from tasks import flights
from tasks.db import read_session
from tasks.models import Flight, Watch
from tasks.planes import plane_history
from tasks.today import today
from tasks.watching import watch_list
from warmer import Handle, every

__all__ = ["PLANES", "planes_of_the_day", "watch_lists"]

#: How many planes the gates' screens are prepared for. More costs a worker a few milliseconds each.
PLANES = 12


@flights.plan(every(timedelta(hours=1)), rate="20/s")
def planes_of_the_day() -> Iterator[Handle[Any]]:
    """The histories of the planes that fly most today: the ones somebody will ask about."""
    busiest = (
        select(Flight.tailnum)
        .where(Flight.day == today(), Flight.tailnum.is_not(None))
        .group_by(Flight.tailnum)
        .order_by(func.count().desc(), Flight.tailnum)
        .limit(PLANES)
    )
    with read_session() as session:
        tailnums = session.scalars(busiest).all()
    for tailnum in tailnums:
        if tailnum is not None:
            yield plane_history.bind(tailnum)


@flights.plan(every(timedelta(minutes=15)), rate="20/s")
def watch_lists() -> Iterator[Handle[Any]]:
    """Everybody's own list of flights, private to each."""
    with read_session() as session:
        users = session.scalars(select(Watch.user_id).distinct().order_by(Watch.user_id)).all()
    for user_id in users:
        yield watch_list.bind(user_id)
