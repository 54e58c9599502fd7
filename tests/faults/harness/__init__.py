"""Every promise at once: many kinds of writers on a real database, readers, workers, all of them disturbed.

`python -m tests.faults.harness --reads 10000000` is the long run; `--without SEAM` takes one part of the
protocol out, and the run must then find something wrong.
"""
