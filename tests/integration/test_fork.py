"""os.fork: a child has connections, loads and locks of its own, whatever its parent was doing."""

from __future__ import annotations

from warmer.testing import python


def test_a_fork_is_safe_at_any_moment(redis_url: str, namespace: str) -> None:
    """Children read, load and invalidate after forks from an idle, a loading and an opening parent."""
    with python("-W", "ignore", "-m", "tests.integration.forking", redis_url, namespace) as child:
        code = child.wait(60)

        lines = [line for line in child.output().splitlines() if line]
        assert lines == [
            "children read, load and invalidate on connections of their own",
            "the parent goes on on its own",
            "a child does not touch the loads of its parent",
            "a fork while another thread opens the namespace leaves no lock behind",
            "done",
        ]
        assert code == 0
