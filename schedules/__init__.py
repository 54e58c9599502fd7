"""When this deployment warms what: its plans. One module an occasion; each plan is a trigger and a generator.

A plan yields entries (``query.bind(...)``); a worker warms them at the plan's rate, and they are kept warm
from there on while they are read. Nothing here runs at import. ``warmer plans`` lists the plans,
``warmer run NAME`` runs one by hand.

    mornings     before the desks open
    screens      through the day
"""

from __future__ import annotations
