"""What loads read: tables and rows, found in the statements that they run, and what nobody invalidates of it.

`statements.py` reads a compiled statement, `listening.py` hears what a load executes, `naming.py` makes names
of it for `depends_on="auto"`, `gaps.py` holds what was declared against it. `outcomes.py` counts what came of
invalidations, `keeping.py` tells of dependencies that nobody keeps.
"""
