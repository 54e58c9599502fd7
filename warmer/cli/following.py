"""Following a run to its end: a progress bar, what failed, and an exit code that says how it went."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import asdict

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from warmer.cli.output import console, counted, errors, one_line, print_json, tell
from warmer.errors import RunFailed, ServerError, WarmerError
from warmer.runs import Run

_INTERRUPTED = 130
_LOOK_EVERY_S = 0.2


def follow(run: Run, *, wait: bool, timeout_s: float | None, as_json: bool) -> None:
    """Wait for the run, unless told not to, and say how it went. Raises typer.Exit when it went wrong."""
    if not wait:
        if as_json:
            print_json({"run": run.id, **asdict(run.progress())})
        else:
            console.print(f"queued as run {run.id}; `warmer status` shows how far it is")
        return
    failed: WarmerError | None = None
    try:
        with _bar(run) if console.is_terminal and not as_json else contextlib.nullcontext():
            run.wait(timeout_s)
    except KeyboardInterrupt:
        errors.print(f"no longer waiting; the run {run.id} goes on. `warmer status` shows how far it is")
        raise typer.Exit(_INTERRUPTED) from None
    except ServerError:
        raise
    except WarmerError as exc:
        failed = exc
    _tell(run, failed, as_json=as_json)


@contextlib.contextmanager
def _bar(run: Run) -> Iterator[None]:
    """A bar that moves by itself while the block runs."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failures]}", style="red", markup=False),
        TimeElapsedColumn(),
    )
    ended = threading.Event()
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("warming", total=None, failures="")

        def look() -> None:
            progress = run.progress()
            bar.update(
                task,
                description="warming" if not progress.hint else f"waiting: {progress.hint}",
                total=progress.total or None,
                completed=progress.done + progress.failed,
                failures=f"{progress.failed} failed" if progress.failed else "",
            )

        def keep_looking() -> None:
            with contextlib.suppress(ServerError):  # whoever waits for the run is told, too
                while not ended.wait(_LOOK_EVERY_S):
                    look()

        looking = threading.Thread(target=keep_looking, name="warmer-bar", daemon=True)
        looking.start()
        try:
            yield
        finally:
            ended.set()
            looking.join()
            with contextlib.suppress(ServerError):
                look()


def _tell(run: Run, failed: WarmerError | None, *, as_json: bool) -> None:
    progress = run.progress()
    if as_json:
        print_json({"run": run.id, **asdict(progress)})
    else:
        entries = counted(progress.done, "entry", "entries")
        console.print(f"{entries} warm, {progress.failed} failed, {progress.seconds:.1f} s")
    for failure in progress.failures:
        errors.print(f"  {failure.query}({failure.params}): {one_line(failure.cause)}", soft_wrap=True)
    if len(progress.failures) < progress.failed:
        errors.print(f"  and {progress.failed - len(progress.failures)} more")
    if isinstance(failed, RunFailed):
        # Its first failure is in the list above.
        told = f"{failed.failed} of {failed.total} entries were not warmed. Correct the cause, then warm"
        errors.print(f"warmer: {told} the rest: `warmer warm QUERY --stale`.", soft_wrap=True)
    elif failed is not None:
        tell(failed)
    if failed is not None:
        raise typer.Exit(1)
