"""Varnish on loopback, as a child of the tests, running docs/varnish.vcl."""

from __future__ import annotations

import http.client
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from warmer.errors import ServerNotStarted
from warmer.testing import ChildProcess, wait_until
from warmer.testing.servers import _free_port

VCL = Path(__file__).parents[2] / "docs" / "varnish.vcl"


def find_binary() -> Path:
    """The varnishd on PATH, or where Debian puts it. Raises ServerNotStarted."""
    found = shutil.which("varnishd") or shutil.which("/usr/sbin/varnishd")
    if found is None:
        raise ServerNotStarted("varnishd", "not on PATH; install Debian's package varnish")
    return Path(found)


class VarnishServer:
    """`url` is known from the beginning: what stands behind it may have to know whom to purge."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self._binary, self._folder, self._port = binary, folder, _free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._child: ChildProcess | None = None

    def start(self, backend_url: str) -> Self:
        """In front of `backend_url`; returns when it answers."""
        backend = urlsplit(backend_url)
        vcl = VCL.read_text(encoding="utf-8")
        assert '.port = "8000";' in vcl
        script = self._folder / "varnish.vcl"
        script.write_text(vcl.replace('.port = "8000";', f'.port = "{backend.port}";'), encoding="utf-8")
        self._child = ChildProcess(
            [
                self._binary, "-F", "-j", "none", "-n", self._folder / "varnish", "-f", script,
                "-a", f"127.0.0.1:{self._port}", "-T", "none", "-s", "malloc,16m", "-l", "1m",
                "-p", "thread_pools=1", "-p", "thread_pool_min=10",
            ],
            name="varnishd",
            log_path=self._folder / "varnish.log",
            cwd=self._folder,
        ).start()  # fmt: skip
        wait_until(self._answers, timeout_s=60, description=lambda: f"varnishd to answer:\n{self.log}")
        return self

    @property
    def log(self) -> str:
        """What it has said."""
        return self._child.tail() if self._child else ""

    def _answers(self) -> bool:
        assert self._child is not None
        assert self._child.running, f"varnishd has ended:\n{self.log}"
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("BAN", "/")
            return connection.getresponse().status == 400
        except OSError:
            return False
        finally:
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child is not None:
            self._child.stop()
