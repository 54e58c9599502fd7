"""The commands as one, and how errors are told: a message, never a traceback unless --debug asks for it."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import Annotated

import typer

from warmer.cli import finding
from warmer.cli.output import console, errors, tell
from warmer.errors import WarmerError

app = typer.Typer(
    name="warmer",
    help="Keeps the results of expensive SQL queries in Redis warm and right.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

# WARMER_APP is read with the other settings, by whoever looks for the project.
App = Annotated[
    str | None,
    typer.Option(
        "--app", "-A", metavar="PACKAGE", help="The package of the queries (WARMER_APP; default: tasks)."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Queries = Annotated[list[str] | None, typer.Argument(metavar="QUERY", help="By default all of them.")]
QueryName = Annotated[str, typer.Argument(metavar="QUERY", help="The query's name, or its last part.")]
Params = Annotated[
    list[str] | None, typer.Argument(metavar="PARAM=VALUE", help="The entry's params, as in month=3.")
]

# What a project imports by the URL of its database, and the extra of ours that has it.
_EXTRAS = {"psycopg": "postgres", "aiosqlite": "async"}

START, LOOK, ACT, SERVE = "Start", "Look", "Act", "Services, for production"


def run() -> None:
    """Run the command line: see `warmer.cli.main`."""
    # Each module adds its commands, in the order in which --help shows them.
    from warmer.cli import starting, reports, verifying, auditing, warming, invalidating  # noqa: F401, I001
    from warmer.cli import database, triggers, services, health  # noqa: F401

    words, debug = _without_debug(sys.argv[1:])
    try:
        app(words, prog_name="warmer")
    except WarmerError as exc:
        if debug:
            raise
        tell(exc, finding.advice(exc))
    except finding.ModuleFailed as exc:
        if debug or exc.__cause__ is None:
            raise
        _tell_own(exc.__cause__)
    sys.exit(1)


def _print_version(wanted: bool) -> None:
    if wanted:
        console.print(f"warmer {metadata.version('warmer')}")
        raise typer.Exit


@app.callback()
def root(
    application: App = None,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; anywhere on the line.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Keeps the results of expensive SQL queries in Redis warm and right."""
    if application is not None:
        finding.choose(application)


def _without_debug(words: list[str]) -> tuple[list[str], bool]:
    """The words without --debug, and whether it was there; what follows -- is somebody else's."""
    ours = words[: words.index("--")] if "--" in words else words
    kept = [word for word in ours if word != "--debug"]
    return kept + words[len(ours) :], len(kept) < len(ours)


def _tell_own(cause: BaseException) -> None:
    from warmer.project import own_traceback

    errors.print(own_traceback(cause), end="", soft_wrap=True)
    errors.print("warmer: the project does not import, so nothing was started or changed.", style="bold red")
    if isinstance(cause, ModuleNotFoundError) and cause.name in _EXTRAS:
        errors.print(f"Install it with `pip install 'warmer[{_EXTRAS[cause.name]}]'`.", markup=False)
