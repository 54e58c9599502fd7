"""The long-running commands: thin over Celery's own worker, our scheduler, and Flower."""

from __future__ import annotations

import logging
import os
import secrets
import warnings
from typing import Annotated, Any

import typer

from warmer.cli.app import SERVE, App, app
from warmer.cli.finding import project
from warmer.cli.output import console
from warmer.namespace import Warmer

FLOWER_USER = "warmer"

# Celery's own, so that the lines of all services look alike.
_LOG_FORMAT = "[%(asctime)s: %(levelname)s/%(processName)s] %(message)s"
_FOREIGN_OPTIONS = {"allow_extra_args": True, "ignore_unknown_options": True}

LogLevel = Annotated[str, typer.Option("--loglevel", "-l", help="debug, info, warning or error.")]


@app.command(context_settings=_FOREIGN_OPTIONS, rich_help_panel=SERVE)
def worker(
    context: typer.Context,
    application: App = None,
    concurrency: Annotated[
        int, typer.Option("--concurrency", "-c", help="Loads at once.", min=1, max=256)
    ] = 4,
    pool: Annotated[str, typer.Option("--pool", "-P", help="threads, prefork or solo.")] = "threads",
    name: Annotated[
        str | None, typer.Option(help="What it is called; several on a machine need one each.")
    ] = None,
    events: Annotated[
        bool, typer.Option("--events", "-E", help="Tell Flower what happens; costs some throughput.")
    ] = False,
    brief: Annotated[bool, typer.Option("--brief", help="No banner.")] = False,
    loglevel: LogLevel = "info",
) -> None:
    """Run a Celery worker for the queries; further options are Celery's own."""
    from warmer.cli.tasklines import watch

    namespace = project(application)
    argv = ["--quiet"] if brief else []
    argv += ["worker", "--pool", pool, "--concurrency", str(concurrency), "--loglevel", loglevel]
    argv += ["--hostname", f"{name}@%h"] if name else []
    argv += ["--task-events"] if events else []
    if not any(word.startswith(("-Q", "--queues")) for word in context.args):
        argv += ["--queues", ",".join(_queues(namespace))]
    if brief:
        warnings.filterwarnings("ignore", "You're running the worker with superuser privileges")
    watch(namespace)
    raise typer.Exit(_celery(namespace, [*argv, *context.args]))


@app.command(rich_help_panel=SERVE)
def scheduler(application: App = None, loglevel: LogLevel = "info") -> None:
    """Run a scheduler: it sends what is due to the workers, and fires plans. Run as many as you like."""
    from warmer.scheduler import run

    level = logging.getLevelNamesMapping().get(loglevel.upper())
    if level is None:
        raise typer.BadParameter("expected debug, info, warning or error", param_hint="--loglevel")
    logging.basicConfig(level=level, format=_LOG_FORMAT)
    run(project(application))


@app.command("flower", context_settings=_FOREIGN_OPTIONS, rich_help_panel=SERVE)
def flower_page(
    context: typer.Context,
    application: App = None,
    port: Annotated[int, typer.Option(help="The port of the page.", min=0, max=65535)] = 5555,
    address: Annotated[str, typer.Option(help="The address it listens on; 0.0.0.0 for all.")] = "127.0.0.1",
) -> None:
    """Run Flower, which shows the tasks; further options are Flower's own."""
    namespace = project(application)
    if not _has_own_access(context.args):
        _let_in(namespace.settings.flower_password)
    argv = ["flower", f"--port={port}", f"--address={address}", *context.args]
    raise typer.Exit(_celery(namespace, argv))


def _queues(namespace: Warmer) -> list[str]:
    """The queues of the namespace's tasks; an existing application's worker may take from others."""
    own = {reading.options.queue for reading in namespace.readings.values()}
    return sorted({namespace.settings.queue, *(queue for queue in own if queue)})


def _celery(namespace: Warmer, argv: list[str]) -> int:
    """Run a command of Celery's; its exit code."""
    import click  # Celery's, which is not the one that these commands are made with

    celery: Any = namespace.celery
    try:
        code: int | None = celery.start(argv)
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    return code or 0


def _has_own_access(args: list[str]) -> bool:
    """Whether somebody has told Flower itself whom to let in."""
    given = any(arg.replace("_", "-").startswith(("--basic-auth", "--auth")) for arg in args)
    return given or bool({"FLOWER_BASIC_AUTH", "FLOWER_AUTH"} & os.environ.keys())


def _let_in(password: str | None) -> None:
    """Set Flower's password; not as an argument, which everybody on the machine could see."""
    import flower.options  # noqa: F401 - defines Flower's options
    from tornado.options import options

    if password is None:
        password = secrets.token_urlsafe(9)
        told = f"user {FLOWER_USER}, password {password} (set WARMER_FLOWER_PASSWORD to choose one)"
        console.print(f"Flower: {told}", soft_wrap=True)
    options.basic_auth = [f"{FLOWER_USER}:{password}"]
