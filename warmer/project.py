"""Finding the project: the package that holds the namespace, and every module that declares into it.

The command line, the scheduler and Celery's workers all come through here, so that they see the same queries.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

from warmer.errors import NotAWarmerProject, ProjectNotFound
from warmer.namespace import Warmer
from warmer.settings import Settings

#: The module of a project that is there for Celery alone: it declares no query, and it imports Celery.
CELERY_MODULE: Final = "celery"
_NEVER_IMPORTED: Final = frozenset({"__main__", CELERY_MODULE})

#: Where plans are looked for unless a setting names another place: it need not be there.
_DEFAULT_SCHEDULES: Final = "schedules"


def find_project(app: str | None = None) -> Warmer:
    """The namespace of the project in the working directory, with every query and plan of it declared.

    app: the dotted name of its package, or `package:name` where it holds several namespaces; by default what
    WARMER_APP or pyproject.toml says, else "tasks". All its submodules are imported, and the package of its
    plans. Raises ProjectNotFound, NotAWarmerProject, ConfigurationError, and whatever the project's own
    modules raise: `own_traceback` shows where.
    """
    dotted, _, name = (app or Settings.load("project").app).partition(":")
    _see_working_directory()
    if not module_exists(dotted):
        raise ProjectNotFound(dotted, str(Path.cwd()))
    modules = import_submodules(dotted)
    found = _named(modules[0], name) if name else _only_namespace(dotted, modules)
    import_schedules(found.settings.schedules, modules[0])
    return found


def import_submodules(package: str) -> list[ModuleType]:
    """Import a module and all modules below it, in the order of their names, the package itself first.

    Left out: `__main__`, and `celery`, which is there for Celery only. What a module raises is raised.
    """
    top = importlib.import_module(package)
    return [top, *(importlib.import_module(name) for name in _below(top))]


def import_schedules(package: str, beside: ModuleType) -> list[ModuleType]:
    """Import the package of the plans; missing under its default name: none. Raises ProjectNotFound.

    beside: the project's own package. Under its default name, the other must be in the same folder: the path
    may well lead to somebody else's `schedules`.
    """
    default = package == _DEFAULT_SCHEDULES
    if module_exists(package) and (not default or _folder_of(package) == _folder_of(beside.__name__)):
        return import_submodules(package)
    if default:
        return []
    raise ProjectNotFound(package, str(Path.cwd()))


def module_exists(dotted: str) -> bool:
    """Whether there is a module of this name. Imports the packages above it, and raises what these raise."""
    if not all(part.isidentifier() for part in dotted.split(".")):
        return False
    try:
        return importlib.util.find_spec(dotted) is not None
    except ModuleNotFoundError as missing:
        # "a.b" where there is no "a" is not there; an "a" that lacks something of its own is.
        if missing.name is not None and f"{dotted}.".startswith(f"{missing.name}."):
            return False
        raise
    except ValueError:  # a module that was made by hand has no spec; it is there all the same
        return dotted in sys.modules


def own_traceback(error: BaseException) -> str:
    """The traceback of what a project's module raised, from the project's first line on.

    Left out is the way there: this package's frames and Python's import machinery.
    """
    shown = traceback.TracebackException.from_exception(error)
    _leave_out_the_way(shown)
    return "".join(shown.format())


def _below(top: ModuleType) -> Iterator[str]:
    for found in pkgutil.iter_modules(getattr(top, "__path__", ()), f"{top.__name__}."):
        if found.name.rpartition(".")[2] in _NEVER_IMPORTED:
            continue
        yield found.name
        if found.ispkg:
            yield from _below(importlib.import_module(found.name))


def _folder_of(dotted: str) -> Path | None:
    """The folder that holds a top-level package or module."""
    spec = importlib.util.find_spec(dotted.partition(".")[0])
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).resolve().parent
    return Path(spec.origin).resolve().parent if spec.origin else None


def _named(module: ModuleType, name: str) -> Warmer:
    found = getattr(module, name, None)
    if isinstance(found, Warmer):
        return found
    raise NotAWarmerProject(module.__name__, f"its {name!r} is not a Warmer(...)")


def _only_namespace(dotted: str, modules: list[ModuleType]) -> Warmer:
    found = {id(value): value for m in modules for value in vars(m).values() if isinstance(value, Warmer)}
    if not found:
        raise NotAWarmerProject(dotted)
    if len(found) > 1:
        names = ", ".join(sorted(each.namespace for each in found.values()))
        reason = f"it holds {len(found)} namespaces ({names}); name one of them, as in {dotted}:flights"
        raise NotAWarmerProject(dotted, reason)
    return next(iter(found.values()))


def _see_working_directory() -> None:
    """An installed command begins with its own folder on the path, and not with the project's."""
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


def _leave_out_the_way(shown: traceback.TracebackException) -> None:
    frames = list(shown.stack)
    here = [at for at, frame in enumerate(frames) if frame.filename == __file__]
    after = frames[here[-1] + 1 :] if here else frames
    shown.stack[:] = [frame for frame in after if not _of_import(frame.filename)]
    for cause in (shown.__cause__, shown.__context__):
        if cause is not None:
            _leave_out_the_way(cause)


def _of_import(filename: str) -> bool:
    return filename.startswith("<frozen importlib") or filename in (
        importlib.__file__,
        importlib.util.__file__,
    )


__all__ = [
    "find_project",
    "import_schedules",
    "import_submodules",
    "module_exists",
    "own_traceback",
]
