"""The long-running commands: thin over Celery's own worker, our scheduler, and Flower."""

from __future__ import annotations

import os
import secrets
from typing import Annotated

import typer

from warmer.cli.app import App, app, console
from warmer.errors import MissingExtra
from warmer.namespace import Warmer

FLOWER_USER = "warmer"


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def worker(
    context: typer.Context,
    application: App = None,
    concurrency: Annotated[int, typer.Option(help="Loads at once.", min=1, max=256)] = 4,
    pool: Annotated[str, typer.Option(help="threads, prefork or solo.")] = "threads",
    name: Annotated[
        str | None, typer.Option(help="What it is called; several on a machine need one each.")
    ] = None,
    events: Annotated[bool, typer.Option(help="Tell Flower what happens; costs some throughput.")] = False,
    loglevel: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Run a Celery worker for the queries; further options are Celery's own."""
    namespace = _project(application)
    argv = ["worker", "--pool", pool, "--concurrency", str(concurrency), "--loglevel", loglevel]
    argv += ["--hostname", f"{name}@%h"] if name else []
    argv += ["--task-events"] if events else []
    namespace.celery.worker_main([*argv, *context.args])


@app.command()
def scheduler(application: App = None) -> None:
    """Run a scheduler: it sends what is due to the workers, and fires plans. Run as many as you like."""
    from warmer.scheduler import run

    run(_project(application))


@app.command("flower", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def flower_page(
    context: typer.Context,
    application: App = None,
    port: Annotated[int, typer.Option(help="The port of the page.")] = 5555,
    address: Annotated[str, typer.Option(help="The address it listens on; 0.0.0.0 for all.")] = "127.0.0.1",
) -> None:
    """Run Flower, which shows the tasks; further options are Flower's own."""
    namespace = _project(application)
    password = namespace.settings.flower_password
    if password is None:
        password = secrets.token_urlsafe(9)
        console.print(
            f"Flower: user {FLOWER_USER}, password {password} (set WARMER_FLOWER_PASSWORD to choose one)"
        )
    # In the environment, not among the arguments: those are on show to everybody on the machine.
    os.environ["FLOWER_BASIC_AUTH"] = f"{FLOWER_USER}:{password}"
    try:
        import flower.command  # noqa: F401 - says clearly that it is missing, before Celery says "no such command"
    except ImportError as exc:
        raise MissingExtra("flower", "flower", "the Flower page") from exc
    namespace.celery.start(["flower", f"--port={port}", f"--address={address}", *context.args])


def _project(application: str | None) -> Warmer:
    from warmer.project import find_project

    return find_project(application)
