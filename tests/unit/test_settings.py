"""Settings: four sources in their order, every problem at once, and a page that says the same."""

from __future__ import annotations

import os
import pickle
import ssl
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, fields
from datetime import timedelta
from pathlib import Path

import pytest
from celery import Celery
from kombu.connection import Connection

from warmer.errors import ConfigurationError
from warmer.settings import Settings, broker_of
from warmer.settings.fields import About, kinds_of_settings
from warmer.settings.kinds import Live
from warmer.settings.page import page

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def _load(
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path = Path(os.sep),
) -> Settings:
    return Settings.load("flights", overrides, environ=environ or {}, folder=folder)


def _problems(
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path = Path(os.sep),
) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        _load(overrides, environ, folder)
    return caught.value.problems


def _pyproject(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return folder


def test_nothing_must_be_set() -> None:
    """Without any source the settings are the documented defaults."""
    settings = _load()

    assert settings.redis_url == "redis://127.0.0.1:6379/0"
    assert (settings.lease, settings.claim, settings.sweep_interval) == (10.0, 10.0, 0.2)
    assert (settings.max_loads, settings.redis_away_loads, settings.max_connections) == (16, 4, 64)
    assert (settings.command_timeout, settings.connect_timeout, settings.invalidate_timeout) == (
        1.0,
        1.0,
        1.0,
    )
    assert (settings.compress_over, settings.max_value_bytes, settings.shards) == (2048, 16 * 1024**2, 1)
    assert (settings.reader_refresh, settings.app, settings.schedules) == ("overdue", "tasks", "schedules")
    assert (settings.database_url, settings.celery, settings.around_load) == (None, None, None)


def test_what_follows_from_other_settings_is_filled_in() -> None:
    """The queue is named like the namespace, and the broker is the same Redis, unless they are set."""
    assert (_load().queue, _load().broker_url) == ("flights", "redis://127.0.0.1:6379/0")

    set_both = _load({"queue": "slow", "broker_url": "amqp://guest:guest@h//"})

    assert (set_both.queue, set_both.broker_url) == ("slow", "amqp://guest:guest@h//")


def test_keywords_come_before_the_environment_before_pyproject_before_defaults(tmp_path: Path) -> None:
    """Of four sources the strongest that names a setting counts, for each setting by itself."""
    folder = _pyproject(tmp_path, "[tool.warmer]\nlease = 3\nclaim = 4\nshards = 5\n")

    settings = _load({"lease": 7}, {"WARMER_LEASE": "8", "WARMER_CLAIM": "9"}, folder)

    assert (settings.lease, settings.claim, settings.shards, settings.max_loads) == (7.0, 9.0, 5, 16)


def test_a_weaker_source_is_checked_even_if_a_stronger_one_counts() -> None:
    """A wrong value is an error wherever it is written, before the day when it begins to count."""
    assert len(_problems({"lease": 7}, {"WARMER_LEASE": "much"})) == 1


def test_a_keyword_that_is_none_counts_as_not_given() -> None:
    """A caller may pass optional keywords through."""
    settings = _load({"redis_url": None, "lease": None}, {"WARMER_LEASE": "8"})

    assert (settings.redis_url, settings.lease) == ("redis://127.0.0.1:6379/0", 8.0)


def test_the_nearest_pyproject_with_our_table_counts(tmp_path: Path) -> None:
    """A pyproject.toml without [tool.warmer] on the way up is passed by."""
    _pyproject(tmp_path, "[tool.warmer]\nlease = 3\n")
    _pyproject(tmp_path / "a", "[tool.warmer]\nlease = 4\n")
    _pyproject(tmp_path / "a" / "b", "[project]\nname = 'b'\n")
    (tmp_path / "a" / "b" / "c").mkdir()

    assert _load(folder=tmp_path / "a" / "b" / "c").lease == 4.0
    assert _load(folder=tmp_path).lease == 3.0


def test_the_search_begins_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a folder, the working directory and the process's environment are meant."""
    monkeypatch.chdir(_pyproject(tmp_path, "[tool.warmer]\nlease = 3\n"))
    monkeypatch.setenv("WARMER_CLAIM", "4")

    settings = Settings.load("flights")

    assert (settings.lease, settings.claim) == (3.0, 4.0)


@pytest.mark.parametrize(
    ("name", "text", "want"),
    [
        ("redis_url", "unix:///tmp/redis.sock?db=3", "unix:///tmp/redis.sock?db=3"),
        ("lease", "2.5", 2.5),
        ("lease", "1e1", 10.0),
        ("max_loads", "12", 12),
        ("compress_over", "0", 0),
        ("reader_refresh", "never", "never"),
        ("identity_params", "user_id, tenant", ("user_id", "tenant")),
        ("identity_params", "", ()),
        ("app", "my_project.tasks", "my_project.tasks"),
        ("queue", "flights.slow-1", "flights.slow-1"),
        ("flower_password", "a b=c", "a b=c"),
    ],
)
def test_the_environment_is_read_by_kind(name: str, text: str, want: object) -> None:
    """A variable's text becomes the value that it means."""
    assert getattr(_load(environ={f"WARMER_{name.upper()}": text}), name) == want


@pytest.mark.parametrize("value", [5, 5.0, timedelta(seconds=5), timedelta(milliseconds=5000)])
def test_durations_are_seconds_or_a_timedelta(value: object) -> None:
    """All ways to write a duration give seconds as a float."""
    lease = _load({"lease": value}).lease

    assert (lease, type(lease)) == (5.0, float)


@pytest.mark.parametrize("value", [["a", "b"], ("a", "b"), {"b", "a"}])
def test_lists_of_names_become_tuples(value: object) -> None:
    """Settings are immutable all through, and a set gets an order."""
    assert _load({"identity_params": value}).identity_params == ("a", "b")


BAD = [
    ({"lease": 0}, "the keyword lease: expected seconds (or a timedelta) from 0.2 to 300, got: 0"),
    ({"lease": -1}, "from 0.2 to 300, got: -1"),
    ({"lease": True}, "got: True"),
    ({"lease": "10"}, "got: '10'"),
    ({"lease": float("nan")}, "got: nan"),
    ({"lease": float("inf")}, "got: inf"),
    ({"lease": timedelta(seconds=-3)}, "got: datetime.timedelta("),
    ({"max_loads": 0}, "the keyword max_loads: expected a whole number from 1 to 1,000, got: 0"),
    ({"max_loads": 1.0}, "got: 1.0"),
    ({"max_loads": True}, "got: True"),
    ({"shards": 20_000}, "from 1 to 16,384, got: 20000"),
    ({"reader_refresh": "always"}, "expected 'overdue' or 'never', got: 'always'"),
    ({"reader_refresh": False}, "got: False"),
    (
        {"redis_url": "localhost:6379"},
        "redis+sentinel://, rediss+sentinel://, redis+cluster://, rediss+cluster://, got: 'loc",
    ),
    ({"redis_url": "http://h"}, "got: 'http://h'"),
    ({"redis_url": 6379}, "got: 6379"),
    ({"broker_url": "rabbit"}, "expected a URL, got: 'rabbit'"),
    ({"app": "my-tasks"}, "expected the dotted name of a module, got: 'my-tasks'"),
    ({"app": ""}, "got: ''"),
    ({"queue": "a b"}, "expected a name of letters, digits and . _ -"),
    ({"identity_params": "user_id"}, "expected a list of names (separated by commas in the environment)"),
    ({"identity_params": [1]}, "got: [1]"),
    ({"around_load": "tracing"}, "expected a function that returns a context manager, got: 'tracing'"),
    ({"celery": object()}, "expected a Celery application, got: <object"),
    ({"flower_password": ""}, "expected a password that is not empty, got: a value that is not shown"),
]


@pytest.mark.parametrize(("overrides", "want"), BAD, ids=[row[1] for row in BAD])
def test_a_value_that_does_not_fit_is_named_with_what_is_expected(
    overrides: dict[str, object], want: str
) -> None:
    """A wrong value is shown beside what it should have been, and with where it came from."""
    (problem,) = _problems(overrides)

    assert want in problem


@pytest.mark.parametrize(
    ("environ", "want"),
    [
        (
            {"WARMER_LEASE": "ten"},
            "WARMER_LEASE: expected seconds (or a timedelta) from 0.2 to 300, got: 'ten'",
        ),
        ({"WARMER_LEASE": ""}, "got: ''"),
        ({"WARMER_LEASE": "nan"}, "got: 'nan'"),
        ({"WARMER_MAX_LOADS": "1.5"}, "got: '1.5'"),
        (
            {"WARMER_REDIS_URI": "x"},
            "WARMER_REDIS_URI: there is no such setting. Did you mean WARMER_REDIS_URL?",
        ),
        ({"WARMER_CELERY": "app"}, "WARMER_CELERY: there is no such setting."),
        ({"WARMER_NAMESPACE": "x"}, "WARMER_NAMESPACE: there is no such setting."),
        ({"WARMER_ZZZ": "x"}, "there is no such setting. docs/configuration.md lists them all."),
    ],
)
def test_a_wrong_variable_is_named(environ: dict[str, str], want: str) -> None:
    """Variables are refused like keywords, unknown ones with what was probably meant."""
    (problem,) = _problems(environ=environ)

    assert want in problem


def test_variables_of_others_are_left_alone() -> None:
    """What does not begin with WARMER_, and what steers tests, demo and benchmarks, is no setting."""
    _load(environ={"REDIS_URL": "x", "WARMERS": "x", "WARMER_TEST_X": "1", "WARMER_DEMO_X": ""})


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("[tool.warmer]\nlesae = 3\n", "[tool.warmer] lesae: there is no such setting. Did you mean lease?"),
        ("[tool.warmer]\nlease = '3'\n", "[tool.warmer] lease: expected seconds (or a timedelta)"),
        ("[tool.warmer]\ncelery = 'x'\n", "[tool.warmer] celery: there is no such setting."),
        ("[tool]\nwarmer = 3\n", "expected [tool.warmer] to be a table, got: 3"),
        ("[tool.warmer\n", "can't be read as TOML"),
    ],
)
def test_a_wrong_pyproject_is_named_with_its_path(tmp_path: Path, text: str, want: str) -> None:
    """A problem in a pyproject.toml says in which one."""
    (problem,) = _problems(folder=_pyproject(tmp_path, text))

    assert want in problem
    assert problem.startswith(str(tmp_path / "pyproject.toml"))


def test_a_pyproject_that_is_not_text_is_named(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 are a problem of that file, not a crash."""
    (tmp_path / "pyproject.toml").write_bytes(b"\xff\xfe[tool.warmer]")

    (problem,) = _problems(folder=tmp_path)

    assert "can't be read as TOML" in problem


@pytest.mark.parametrize("name", ["", "a b", "a:b", "{a}", "-a", "ä", "a" * 65, None, 3])
def test_a_namespace_has_a_plain_name(name: object) -> None:
    """A namespace's name is part of keys, queues and file names, so only plain characters will do."""
    with pytest.raises(ConfigurationError, match="the namespace: expected a name of letters"):
        Settings.load(name, environ={}, folder=Path(os.sep))  # type: ignore[arg-type]


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    """One start shows every mistake, of every source."""
    folder = _pyproject(tmp_path, "[tool.warmer]\nshards = 0\nfoo = 1\n")

    problems = _problems({"lesae": 1, "lease": -1}, {"WARMER_CLAIM": "x", "WARMER_BAR": "y"}, folder)

    assert len(problems) == 6
    assert all(
        any(word in problem for problem in problems) for word in ("shards", "foo", "lesae", "CLAIM", "BAR")
    )


@pytest.mark.parametrize(
    ("overrides", "want"),
    [
        (
            {"lease": 1, "command_timeout": 0.6, "invalidate_timeout": 1},
            "lease (1 s) is below twice command_timeout",
        ),
        ({"invalidate_timeout": 0.5}, "invalidate_timeout (0.5 s) is below command_timeout (1 s)"),
        ({"claim": 0.3}, "claim (0.3 s) is below twice sweep_interval (0.2 s)"),
        ({"redis_away_loads": 17}, "redis_away_loads (17) is above max_loads (16)"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(overrides: dict[str, object], want: str) -> None:
    """Two settings that fit by themselves and not together are named together, with the way out."""
    (problem,) = _problems(overrides)

    assert want in problem
    assert "lower" in problem.casefold()


def test_contradictions_are_found_over_sources() -> None:
    """It does not matter where the two settings come from."""
    (problem,) = _problems({"command_timeout": 2, "invalidate_timeout": 2}, {"WARMER_LEASE": "3"})

    assert "lease (3 s) is below twice command_timeout (2 s)" in problem


def test_an_existing_celery_application_brings_its_own_broker() -> None:
    """A broker said in the same breath as an application would be ignored, so it is refused."""
    app = Celery("host", set_as_current=False)

    (problem,) = _problems({"celery": app, "broker_url": "redis://h/0"})

    assert "celery and broker_url are both given" in problem
    assert _load({"celery": app}, {"WARMER_BROKER_URL": "redis://h/0"}).celery is app


def test_settings_never_change() -> None:
    """Settings are frozen once made."""
    settings = _load()

    with pytest.raises(FrozenInstanceError):
        settings.lease = 1.0  # type: ignore[misc]


def test_settings_survive_pickling() -> None:
    """Settings may be handed to a process that is started afresh."""
    settings = _load({"lease": 3})

    assert pickle.loads(pickle.dumps(settings)) == settings


def test_the_repr_hides_passwords() -> None:
    """Settings that get into a log give away no password."""
    secrets = {"redis_url": "redis://:hunter2@h/0", "database_url": "postgresql://u:hunter2@h/d"}

    shown = repr(_load({**secrets, "flower_password": "hunter2"}))

    assert "hunter2" not in shown
    assert "redis://:***@h/0" in shown
    assert "flower_password='***'" in shown


def test_a_problem_hides_passwords() -> None:
    """A wrong URL is shown without its password."""
    (problem,) = _problems({"redis_url": "http://:hunter2@h/0"})

    assert "http://:***@h/0" in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("redis_url", "broker_url"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379/0"),
        ("redis://u:p%40w@h:1/4", "redis://u:p%40w@h:1/4"),
        ("redis://h/?db=2&socket_timeout=3", "redis://h/2"),
        ("unix:///run/redis.sock", "redis+socket:///run/redis.sock?virtual_host=0"),
        ("unix://u:p%2Fw@/run/redis.sock?db=3", "redis+socket://u:p%2Fw@/run/redis.sock?virtual_host=3"),
        ("rediss://h:6380/1", "rediss://h:6380/1?ssl_cert_reqs=required"),
        (
            "rediss://h/1?ssl_cert_reqs=none&ssl_ca_certs=/x",
            "rediss://h/1?ssl_cert_reqs=none&ssl_ca_certs=%2Fx",
        ),
    ],
)
def test_the_broker_is_the_same_redis(redis_url: str, broker_url: str) -> None:
    """Celery is told of the same server, database, user and password, and checks certificates over TLS."""
    assert broker_of(redis_url) == broker_url


def test_celery_reads_the_brokers_url_as_it_is_meant() -> None:
    """Celery's own parser finds the password and the socket file in the URL that is made for it."""
    tcp = Connection(broker_of("redis://u:p%40w@h:1/4"))
    socket_file = Connection(broker_of("unix:///run/redis.sock?db=3"))

    assert (tcp.userid, tcp.password, tcp.hostname, tcp.port, tcp.virtual_host) == ("u", "p@w", "h", 1, "4")
    assert socket_file.hostname == "socket:///run/redis.sock?virtual_host=3"
    assert Connection(broker_of("rediss://h/0")).ssl == {"ssl_cert_reqs": ssl.CERT_REQUIRED}


def test_the_page_is_made_from_the_settings() -> None:
    """docs/configuration.md says what the code says: `python -m warmer.settings.page` makes it."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_setting_says_what_it_means_and_what_its_limits_do() -> None:
    """A setting has a sentence, and a number says what too low and too high a value does."""
    for one in fields(Settings):
        if not one.metadata:
            continue
        about: About = one.metadata["about"]
        assert about.means.endswith(".")
        if isinstance(one.default, int | float):
            assert about.low, one.name
            assert about.high, one.name


def test_every_default_is_of_its_own_kind() -> None:
    """A default would be accepted if it were given."""
    defaults = {one.name: one.default for one in fields(Settings)}
    kinds = kinds_of_settings()
    del kinds["namespace"]

    for name, kind in kinds.items():
        if not isinstance(kind, Live):
            assert kind.accept(defaults[name]) == defaults[name]


def test_settings_remember_what_was_given(tmp_path: Path) -> None:
    """It can be told apart whether a server was named by somebody or is the default."""
    folder = _pyproject(tmp_path, "[tool.warmer]\nclaim = 3\n")

    named = _load({"redis_url": "redis://127.0.0.1:6379/0"}, {"WARMER_LEASE": "3"}, folder)

    assert named.given == {"redis_url", "lease", "claim"}
    assert (named.redis_is_embedded, _load().redis_is_embedded) == (False, True)


def test_the_embedded_server_of_the_folder_is_found(tmp_path: Path) -> None:
    """Where `warmer up` has run, in this folder or one above, its server is the default."""
    (tmp_path / ".warmer").mkdir()
    (tmp_path / ".warmer" / "redis.url").write_text("unix:///run/w.sock\n", encoding="utf-8")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)

    found = _load(folder=below)

    assert (found.redis_url, found.redis_is_embedded) == ("unix:///run/w.sock", True)
    assert found.broker_url == "redis+socket:///run/w.sock?virtual_host=0"
    assert _load({"redis_url": "redis://h"}, folder=below).redis_url == "redis://h"
