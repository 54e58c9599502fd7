"""The commands, and how their errors are told: a message, never a traceback, unless --debug asks for it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from warmer.cli.init import write_project
from warmer.errors import WarmerError

app = typer.Typer(
    name="warmer",
    help="Keeps the results of expensive SQL queries in Redis warm and right.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

App = Annotated[
    str | None,
    typer.Option(
        "--app", "-A", envvar="WARMER_APP", help="The package that holds the queries (default: tasks)."
    ),
]


def run() -> None:
    """Run the command line."""
    from warmer.cli import invalidating, reports, services, warming  # noqa: F401 - each module adds its commands

    debug = "--debug" in sys.argv
    sys.argv = [arg for arg in sys.argv if arg != "--debug"]
    try:
        app()
    except WarmerError as exc:
        if debug:
            raise
        errors.print(f"[bold red]warmer:[/] {exc}", markup=True, soft_wrap=True)
        sys.exit(1)


@app.command()
def init(folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")]) -> None:
    """Write a working project: one query on SQLite, one plan."""
    for path in write_project(folder):
        console.print(f"  {path}")
    console.print(f"\n[bold]Next:[/] cd {folder} && warmer up")


@app.command()
def up(
    application: App = None,
    workers: Annotated[int, typer.Option(help="Worker processes.", min=1, max=64)] = 1,
    concurrency: Annotated[int, typer.Option(help="Loads at once in each worker.", min=1, max=256)] = 4,
    pool: Annotated[str, typer.Option(help="threads, prefork or solo.")] = "threads",
    port: Annotated[
        int | None, typer.Option(help="Flower's port (default: 5555 or the next free one).")
    ] = None,
    flower: Annotated[bool, typer.Option(help="Whether to start Flower.")] = True,
) -> None:
    """Start Valkey (unless redis_url is set), a worker, a scheduler and Flower, here in the foreground."""
    from warmer.cli.up import Wanted
    from warmer.cli.up import up as start
    from warmer.project import find_project

    namespace = find_project(application)
    wanted = Wanted(
        application or namespace.settings.app, workers, concurrency, pool,
        (port or 5555) if flower else 0, port is not None,
    )  # fmt: skip
    start(namespace, wanted, console)
