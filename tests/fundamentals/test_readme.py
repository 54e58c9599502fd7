"""The README's example, run as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def test_the_twelve_lines_of_the_readme_do_what_they_say(redis_url: str, tmp_path: Path) -> None:
    """Copied into a file and run, the example prints the value and that it is fresh."""
    example = re.search(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert example is not None
    script = tmp_path / "example.py"
    script.write_text(
        "def run_the_expensive_query(carrier, month):\n    return [float(month), 12.5]\n\n\n" + example[1],
        "utf-8",
    )
    env = {**os.environ, "WARMER_REDIS_URL": redis_url}
    ran = subprocess.run(
        [sys.executable, str(script)],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split("\n")[:2] == ["[3.0, 12.5]", "True"], ran.stdout


def test_the_example_is_no_longer_than_it_says() -> None:
    """Twelve lines of code, not counting blank ones and the docstring."""
    example = re.search(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert example is not None
    lines = [line for line in example[1].splitlines() if line.strip() and '"""' not in line]
    assert len(lines) <= 12
