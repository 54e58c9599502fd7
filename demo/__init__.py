"""`make demo`: a morning at three airports, played in a minute, with every promise measured while it runs.

Real processes (server, worker, scheduler, Flower, readers, a writer), real SQL, real delays. Beside it the
same traffic goes to a plain TTL cache: get, else run the query and set with an expiry. The figures are
measured from outside of both caches; `judging` says how. Nothing in `warmer/`, `tasks/` or `schedules/`
knows of it.

    play        the whole performance, from loading the flights to the exit code
    setting     its numbers: how long, how many reads and writes a second, which ttl
    traffic     who asks for what, when (pure)
    entries     what is asked for; which delay shows in which entry; how new a value is
    ledger      what every reader must see by now, shared by all processes
    reader      one reading process, of either cache
    plain       the plain TTL cache
    writer      the process that reports delays
    messages    what those processes tell the one that shows the figures
    judging     from what was read to figures: why a read waited, what was stale (pure)
    figures     counts and quantiles of one cache (pure)
    screen      the live table, the summary, the chart
    stage       the processes on which it all runs

Beside all that, `page` is a board for browsers, with a shared cache in front of it: docs/howto/http.md.
"""

from __future__ import annotations
