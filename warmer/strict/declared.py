"""What `consistency="strict"` needs of a query, checked where it is declared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from warmer.core.strictness import read_name
from warmer.errors import InvalidOption, show

if TYPE_CHECKING:
    from warmer.dependencies import Dependencies
    from warmer.options import Options

_STRICT: Final = 'consistency="strict"'


def strictly(query: str, dependencies: Dependencies, options: Options) -> Dependencies:
    """The dependencies of a strict query. Raises InvalidOption for what would let it serve what is old."""
    if dependencies.auto or not (dependencies.tables or dependencies.shapes):
        said = show("auto") if dependencies.auto else show({})
        expected = (
            f"the tables that it reads, as in {{Flight: ('carrier',)}}, as it is declared with {_STRICT}: "
            "before COMMIT, a writer must know whom its rows concern"
        )
        raise InvalidOption(query, "depends_on", said, expected)
    for option, seconds in (
        ("stale_after_write", options.stale_after_write_s),
        ("browser_max_age", options.browser_max_age_s),
    ):
        if seconds:
            raise InvalidOption(query, option, f"{seconds:g}", f"0, as it is declared with {_STRICT}")
    return dependencies.as_strict()


def version_of(dependencies: Dependencies) -> str:
    """What stands behind a strict query's version: what was stored under other dependencies is not served.

    An entry of an older release, where the query was not strict or depended on less, is not barred for all.
    """
    return read_name(dependencies.strict)[1]
