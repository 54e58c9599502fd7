"""Raised about the project and its processes: settings, modules, commands, runs."""

from __future__ import annotations

from warmer.errors.root import WarmerError, error


class ProjectError(WarmerError):
    """The project, or what it needs on this machine, is not as it must be."""

    __module__ = "warmer.errors"


@error
class ConfigurationError(ProjectError):
    """Settings are wrong; every problem is listed at once."""

    problems: tuple[str, ...]

    def message(self) -> str:
        """List the problems, one a line."""
        listed = "".join(f"\n  - {problem}" for problem in self.problems)
        count = f"{len(self.problems)} settings are" if len(self.problems) > 1 else "a setting is"
        return (
            f"{count} wrong; nothing was started or connected to:{listed}\ndocs/configuration.md lists them "
            "all."
        )


@error
class ProjectNotFound(ProjectError):
    """There is no module of the name that Warmer looks for."""

    app: str
    searched: str

    def message(self) -> str:
        """Name the module and where it was looked for."""
        return (
            f"there is no module {self.app!r} in {self.searched}. Nothing was started. Run this in the "
            "project's folder, name its package with -A/--app or WARMER_APP, or make a project with `warmer "
            "init DIR`."
        )


@error
class NotAWarmerProject(ProjectError):
    """The module imports, and holds no namespace."""

    module: str
    reason: str = "it holds no Warmer(...)"

    def message(self) -> str:
        """Name the module and what it lacks."""
        return (
            f"{self.module!r} was imported and is not a Warmer project: {self.reason}. Nothing was started. "
            "Put "
            '`flights = Warmer("flights")` into it, or name another package with -A/--app or WARMER_APP.'
        )


@error
class NoWorkers(ProjectError):
    """Nobody takes what is queued."""

    queue: str
    waited_s: float

    def message(self) -> str:
        """Name the queue and how to start a worker."""
        return (
            f"no worker answered for the queue {self.queue!r} within {self.waited_s:.3g} s. What was queued "
            "stays queued. Start one with `warmer worker` (or `warmer up`), on the same broker and queue."
        )


@error
class NoScheduler(ProjectError):
    """Nobody hands out what is due."""

    namespace: str
    waited_s: float

    def message(self) -> str:
        """Name the namespace and how to start a scheduler."""
        return (
            f"no scheduler of the namespace {self.namespace!r} was alive within {self.waited_s:.3g} s, and "
            "nothing moved. What is due stays due and will be done. Start one with `warmer scheduler` (or "
            "`warmer up`), on the same Redis."
        )


@error
class PlanFailed(ProjectError):
    """The generator of a plan raised, so its run has ended early."""

    plan: str
    run: str
    fed: int
    cause: str

    def message(self) -> str:
        """Name the plan and quote what it raised."""
        return (
            f"the plan {self.plan} raised in its run {self.run}: {self.cause}. The {self.fed} entries that "
            "it had yielded are warmed all the same, the rest are not. Correct it; its next firing is a new "
            f"run, or start one with `warmer run {self.plan}`."
        )


@error
class RunFailed(ProjectError):
    """A run has ended, and some of its entries could not be warmed."""

    run: str
    failed: int
    total: int
    first: str

    def message(self) -> str:
        """Count the failures and quote the first."""
        return (
            f"the run {self.run} ended with {self.failed} of {self.total} entries not warmed; the first: "
            f"{self.first}. The others are warm. Correct the cause and warm the rest with --stale."
        )


@error
class RunUnfinished(ProjectError):
    """A run did not end within the time that its caller waited."""

    run: str
    done: int
    total: int
    waited_s: float

    def message(self) -> str:
        """Say how far it is."""
        return (
            f"the run {self.run} had warmed {self.done} of {self.total} entries after {self.waited_s:.3g} s. "
            "It goes on. Wait longer, or see its progress with `warmer status`."
        )


@error
class AlreadyRunning(ProjectError):
    """The same thing is already running on this folder."""

    what: str
    pid: int
    folder: str

    def message(self) -> str:
        """Name the process that holds the folder."""
        return (
            f"{self.what} already runs on {self.folder} (process {self.pid}). Nothing was started. Use that "
            "one, or stop it first."
        )


@error
class PortInUse(ProjectError):
    """Another program listens on the port."""

    what: str
    port: int

    def message(self) -> str:
        """Name the port."""
        return (
            f"{self.what} can't listen on port {self.port}: another program does. Nothing was started. "
            "Choose another port."
        )


@error
class FolderNotEmpty(ProjectError):
    """The folder for a new project already holds files."""

    folder: str
    found: str

    def message(self) -> str:
        """Name the folder and a file in it."""
        return (
            f"{self.folder} already holds {self.found}. Nothing was written. Choose a new or an empty folder."
        )


@error
class FolderNotWritable(ProjectError):
    """The folder for a new project can't be made or written to."""

    folder: str
    reason: str

    def message(self) -> str:
        """Name the folder and the system's reason."""
        return (
            f"{self.folder} can't hold a new project: {self.reason}. What was written before that stays. "
            "Choose another folder."
        )


@error
class ProcessEnded(ProjectError):
    """A process that was meant to stay up has ended."""

    name: str
    exit_code: int
    last_words: str

    def message(self) -> str:
        """Name the process and quote its last line."""
        return (
            f"{self.name} ended with code {self.exit_code}: {self.last_words}. The other processes "
            "were stopped; what is stored stays. Correct the cause and start again."
        )


@error
class MissingExtra(ProjectError):
    """Something was asked for that needs a package which is not installed."""

    package: str
    extra: str
    needed_for: str

    def message(self) -> str:
        """Name the package and the command that installs it."""
        return (
            f"{self.needed_for} needs the package {self.package!r}, which is not installed. Nothing was "
            f"changed. Install it with `pip install 'warmer[{self.extra}]'`."
        )


@error
class NoDatabase(ProjectError):
    """The project tracks no database, and no setting names one."""

    namespace: str

    def message(self) -> str:
        """Name the two ways to say it."""
        return (
            f"no database is known for the namespace {self.namespace!r}: nothing is tracked, and "
            "database_url is not set. Nothing was done. Set WARMER_DATABASE_URL, or call flights.track(...) "
            "in a module of the project."
        )
