"""What this deployment keeps warm: queries over every flight that left New York City in 2013.

One module a family of queries; each query is a function under ``@flights.cached(...)`` and becomes a
Celery task of the same name. To add one, copy the nearest. When they are warmed is said in ``schedules/``.
How it works, with the engine's own jobs (the sweep of what is due, the runs of plans, the reaping of what
nobody reads any more), is in ``warmer/``; ``warmer plans`` lists those jobs beside this deployment's plans.

    boards       the departures of an airport and day
    carriers     delays of a carrier, day by day; who is on time
    routes       the busiest routes
    delays       weather against delay; the worst days of the year
    planes       what a plane has flown
    watching     somebody's own list of flights (private)
    desk         the writing side: a delay is reported, and what shows it drops by itself
    models, db, dataset, load, freshness, today      tables, database, data, how fresh, which day it is
"""

from __future__ import annotations

from warmer import Warmer

__all__ = ["flights"]

#: The namespace of this deployment. Connects to nothing until something is read.
flights = Warmer("flights")
