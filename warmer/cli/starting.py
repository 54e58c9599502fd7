"""`init` and `up`: a project, and everything that it needs, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from warmer.cli.app import START, App, app
from warmer.cli.finding import project
from warmer.cli.output import console


@app.command(rich_help_panel=START)
def init(folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")]) -> None:
    """Write a working project: one query on SQLite, one plan."""
    from warmer.cli.init import write_project

    for path in write_project(folder):
        console.print(f"  {path}")
    here = folder.resolve() == Path.cwd()
    console.print(f"\nNext: {'' if here else f'cd {folder} && '}warmer up", style="bold")


@app.command(rich_help_panel=START)
def up(
    application: App = None,
    workers: Annotated[int, typer.Option(help="Worker processes.", min=1, max=64)] = 1,
    concurrency: Annotated[int, typer.Option(help="Loads at once in each worker.", min=1, max=256)] = 4,
    pool: Annotated[str, typer.Option(help="threads, prefork or solo.")] = "threads",
    port: Annotated[
        int | None, typer.Option(help="Flower's port (default: 5555 or the next free one).", min=1, max=65535)
    ] = None,
    flower: Annotated[bool, typer.Option(help="Whether to start Flower.")] = True,
) -> None:
    """Run all of it here: Valkey (unless redis_url is set), a worker, a scheduler and Flower.

    Data and address of the embedded Valkey are kept in .warmer/. Ctrl-C stops everything; once more, at once.
    """
    from warmer.cli.up import Up, Wanted

    namespace = project(application)
    ports = () if not flower else range(5555, 5655) if port is None else (port,)
    Up(namespace, Wanted(application, workers, concurrency, pool, tuple(ports)), console).run()
