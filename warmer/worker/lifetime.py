"""What happens at the ends of a worker's processes: the project is imported, and what is held is given back.

Nothing is connected before a process needs it, and a forked one makes its own: a runtime knows its process.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from celery import signals

from warmer import project
from warmer.errors import ConfigurationError, ProjectError
from warmer.found import keeping

if TYPE_CHECKING:
    from warmer.namespace import Warmer

_NO_JSON = (
    "the Celery application that hosts the queries takes only messages in {}, and theirs are JSON. "
    'Add "json" to its accept_content'
)

_pool_child: int | None = None


def in_pool_child() -> bool:
    """Whether this is a child of a prefork pool, which runs one task at a time and can be replaced."""
    return _pool_child == os.getpid()


def watch(app: Any, namespace: Warmer, *, hosted: bool) -> None:
    """Follow the worker's signals. hosted: the application is the user's, who imports its modules himself."""

    def load(**_: object) -> None:
        try:
            import_project(app, namespace)
        except Exception as exc:  # noqa: BLE001 - whatever the project raises, its own lines are what is shown
            told = f"{exc}\n" if isinstance(exc, ProjectError) else project.own_traceback(exc)
            sys.stderr.write(told)
            raise SystemExit(1) from None

    later: list[threading.Timer] = []

    def close(**_: object) -> None:
        for timer in later:
            timer.cancel()
        namespace.close()

    def ready(sender: Any, **_: object) -> None:
        if sender.app is app:
            later.append(keeping.tell_later(namespace))

    def check(sender: Any, **_: object) -> None:
        if sender.app is app and not _takes_json(app):
            sys.stderr.write(f"{ConfigurationError((_NO_JSON.format(app.conf.accept_content),))}\n")
            raise SystemExit(1)

    if hosted:
        signals.worker_init.connect(check, weak=False)
    else:
        signals.import_modules.connect(load, sender=app, weak=False)
    signals.worker_ready.connect(ready, weak=False)
    signals.worker_process_shutdown.connect(close, weak=False)
    signals.worker_shutdown.connect(close, weak=False)


def import_project(app: Any, namespace: Warmer) -> None:
    """Import every module that may declare queries and plans.

    These are in the packages whose module `celery` holds the application, so `celery -A anything` needs no
    setting; where there is none, in the package that the settings name. Raises what the modules raise.
    """
    holders = _holders(app)
    packages = [holder.rpartition(".")[0] for holder in holders]
    if not packages and project.module_exists(namespace.settings.app):
        packages = [namespace.settings.app]
    modules = []
    for package in packages:
        top, *below = project.import_submodules(package)
        modules += [top, *below, *project.import_schedules(namespace.settings.schedules, top)]
    # A child that is spawned, not forked (the default on macOS), begins with nothing but this list.
    names = (*app.conf.include, *(module.__name__ for module in modules), *holders)
    app.conf.include = tuple(dict.fromkeys(names))


def _takes_json(app: Any) -> bool:
    accepted = app.conf.accept_content
    return not accepted or not {"json", "application/json"}.isdisjoint(accepted)


def _holders(app: Any) -> list[str]:
    """The modules `<package>.celery` that hold the application as `app` or `celery`."""
    found = []
    for name, module in list(sys.modules.items()):
        package, _, last = name.rpartition(".")
        names = getattr(module, "__dict__", {})
        if last == project.CELERY_MODULE and package and app in (names.get("app"), names.get("celery")):
            found.append(name)
    return sorted(found)


def _note_pool_child(**_: object) -> None:
    global _pool_child
    _pool_child = os.getpid()


signals.worker_process_init.connect(_note_pool_child, weak=False)
