"""The error tree: every error pickles, explains itself, is documented, and gives away no secret."""

from __future__ import annotations

import copy
import pickle
import re
import typing
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from warmer import errors
from warmer.errors import LoadFailed, ParamError, RedisUnreachable, UnknownParam, WarmerError

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"

SAMPLES: dict[object, object] = {
    str: "sample",
    int: 4711,
    float: 2.5,
    tuple[str, ...]: ("first one", "second one"),
    str | None: "suggested",
}


def _tree(root: type[WarmerError] = WarmerError) -> Iterator[type[WarmerError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


def _fields_of(kind: type[WarmerError]) -> dict[str, object]:
    hints = typing.get_type_hints(kind)
    return {one.name: hints[one.name] for one in fields(kind)} if "__dataclass_fields__" in vars(kind) else {}  # type: ignore[arg-type]


def _sample(kind: type[WarmerError]) -> WarmerError:
    values = {name: f"<{name}>" if hint is str else SAMPLES[hint] for name, hint in _fields_of(kind).items()}
    return kind(**values)


KINDS = [kind for kind in _tree() if kind.__module__ == "warmer.errors"]
LEAVES = [kind for kind in KINDS if _fields_of(kind)]
each_leaf = pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)


def test_there_are_errors_to_look_at() -> None:
    """The tests below see the whole tree, and not an empty list."""
    assert len(LEAVES) > 40


@each_leaf
def test_an_error_survives_pickling(kind: type[WarmerError]) -> None:
    """An error comes out of a pickle with its class, its values and its text."""
    before = _sample(kind)

    after = pickle.loads(pickle.dumps(before))

    assert type(after) is kind
    assert after.args == before.args
    assert str(after) == str(before)


@each_leaf
def test_an_error_survives_copying(kind: type[WarmerError]) -> None:
    """A copied error is the same error."""
    before = _sample(kind)

    assert str(copy.deepcopy(before)) == str(copy.copy(before)) == str(before)


@each_leaf
def test_args_are_the_constructors_arguments(kind: type[WarmerError]) -> None:
    """The args of an error rebuild it, whether its values were given by position or by keyword."""
    by_keyword = _sample(kind)

    by_position = kind(*by_keyword.args)

    assert by_position.args == by_keyword.args == tuple(getattr(by_keyword, f) for f in _fields_of(kind))


@each_leaf
def test_a_message_says_with_which_values(kind: type[WarmerError]) -> None:
    """Every value that an error carries is in its text."""
    error = _sample(kind)

    for name, value in zip(_fields_of(kind), error.args, strict=True):
        shown = value if isinstance(value, tuple) else (value,)
        if name == "known":
            continue  # shown only where nothing is suggested
        for part in shown:
            ways = {str(part)} | ({f"{part:,}"} if isinstance(part, int) else set())
            assert any(way in str(error) for way in ways), f"{name}={part!r} is not in: {error}"


@each_leaf
def test_a_message_says_what_was_left_and_what_to_do(kind: type[WarmerError]) -> None:
    """A message has at least three parts: what happened, what was left as it was, what to do next."""
    text = _sample(kind).message()

    assert len(re.findall(r"[.:;](?:\s|$)", text)) >= 2, text
    assert re.search(
        r"[Nn]othing|not |No |stay|goes on|go on|left|stopped|changed nothing|is kept|warm", text
    ), f"does not say what was left unchanged: {text}"


@each_leaf
def test_a_message_ends_with_the_place_to_read_more(kind: type[WarmerError]) -> None:
    """The text of an error ends with its section in docs/errors.md."""
    assert str(_sample(kind)).endswith(f"(docs/errors.md#{kind.anchor()})")


def test_every_error_has_a_section_and_every_section_an_error() -> None:
    """docs/errors.md and the tree have the same names."""
    sections = re.findall(
        r'^<a id="([\w-]+)"></a>\n#+ (\w+)$', PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )

    assert dict(sections) == {kind.anchor(): kind.__name__ for kind in KINDS}


def test_links_between_sections_lead_somewhere() -> None:
    """A link to a section of docs/errors.md is to one that exists."""
    text = PAGE.read_text(encoding="utf-8")

    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= {kind.anchor() for kind in KINDS}


def test_every_error_can_be_imported_from_one_place() -> None:
    """`warmer.errors` has all of the tree, and tracebacks show that path."""
    assert {kind.__name__ for kind in KINDS} == {n for n in errors.__all__ if n[0].isupper()}


def test_errors_elsewhere_in_warmer_are_none() -> None:
    """No error is defined outside of warmer/errors/, but for the failures of the testing tools."""
    elsewhere = {kind for kind in _tree() if kind.__module__.startswith("warmer.")} - set(KINDS)

    assert {kind for kind in elsewhere if not issubclass(kind, AssertionError)} == set()


def test_an_error_keeps_its_cause() -> None:
    """`raise ... from` works as with any exception, and identity is what makes two errors equal."""
    with pytest.raises(RedisUnreachable) as caught:
        _fail()

    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value == caught.value
    assert caught.value != RedisUnreachable(*caught.value.args)
    assert caught.value in {caught.value}


def _fail() -> None:
    try:
        raise OSError("no route")
    except OSError as broken:
        raise RedisUnreachable("redis://h", str(broken)) from broken


def test_a_suggestion_is_made_where_a_name_is_near() -> None:
    """An unknown name is answered with the nearest one, or with those that there are."""
    assert "Did you mean 'carrier'?" in str(UnknownParam("q", "carier", ("carrier",), "carrier"))
    assert "Known: carrier, month." in str(UnknownParam("q", "x", ("month", "carrier")))
    assert "None is known." in str(UnknownParam("q", "x", ()))
    many = tuple(f"p{i:02}" for i in range(40))
    assert "p11, ...." in str(UnknownParam("q", "x", many))


@pytest.mark.parametrize(
    ("name", "known", "want"),
    [
        ("carier", ["month", "carrier"], "carrier"),
        ("REDIS_URI", ["redis_url", "app"], "redis_url"),
        ("zebra", ["month", "carrier"], None),
        ("x", [], None),
    ],
)
def test_did_you_mean(name: str, known: list[str], want: str | None) -> None:
    """The nearest name is found whatever its case, and none where nothing is near."""
    assert errors.did_you_mean(name, known) == want


SECRET = "hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"redis://:{SECRET}@localhost:6379/0",
        f"connect to rediss://app:{SECRET}@h failed",
        f"redis://app:p@{SECRET}@h/0",
        f"redis://app:a/{SECRET}@h/0",
        f"postgresql+psycopg://u:{SECRET}@[::1]:5432/db",
        f"redis+socket://:{SECRET}@/tmp/s",
        f"unix:///tmp/s?db=0&password={SECRET}&x=1",
        f"host=h password={SECRET} dbname=d",
        f"host=h password='two {SECRET} words' dbname=d",
        f'{{"password": "{SECRET}"}}',
        f"PASSWORD = {SECRET}",
        f"api_key:{SECRET}",
        f"(sqlite3.IntegrityError) UNIQUE\n[SQL: insert]\n[parameters: ('{SECRET}', 3)]\n(Background)",
        f"[parameters: ('a] b', '{SECRET}')]",
        f"[parameters: ('a\n{SECRET}')]",
        f"DETAIL:  Key (a)=(1\n{SECRET}) already exists.",
        f"[parameters: ('{SECRET}', " + "x" * 10_000,
        f"DETAIL:  Key (email)=({SECRET}) already exists.",
        f"DETAIL:  Key (a, b)=(1) 2, {SECRET}) already exists.",
        f"DETAIL:  Failing row contains (1, {SECRET}, null).",
    ],
)
def test_secrets_are_masked(text: str) -> None:
    """No password and no value of a row is left in a masked text."""
    assert SECRET in text

    assert SECRET not in errors.mask(text)
    assert SECRET not in errors.mask(text, limit=30)


@pytest.mark.parametrize(
    "text",
    [
        "redis://localhost:6379/0",
        "unix:///tmp/s?db=0",
        "no such table: flights",
        "Error 111 connecting to localhost:6379. Connection refused.",
        "carrier='UA', month=3",
        "",
    ],
)
def test_what_is_no_secret_is_shown(text: str) -> None:
    """Masking leaves addresses and ordinary messages as they are."""
    assert errors.mask(text) == text


def test_masking_twice_changes_nothing_more() -> None:
    """A masked text stays as it is, so an error that is raised anew from its args keeps its text."""
    once = errors.mask(f"redis://u:{SECRET}@h/0 password={SECRET}")

    assert errors.mask(once) == once


def test_long_texts_are_cut() -> None:
    """A long text is cut, and its length is said."""
    assert errors.mask("a" * 1000, limit=10) == "aaaaaaaaaa... (1000 characters)"


def test_masking_a_huge_text_is_quick() -> None:
    """The time to mask does not grow with what can't be shown anyway."""
    for text in ("redis://" * 200_000, "password=" * 200_000, "(a)=" * 400_000, "x:" * 1_000_000):
        assert len(errors.mask(text)) < 400


def test_no_error_gives_away_a_password() -> None:
    """Neither text nor repr nor pickle of an error holds the password of the URL that it was made with."""
    error = RedisUnreachable(f"redis://:{SECRET}@h/0", cause=f"AUTH failed for redis://:{SECRET}@h/0")

    assert SECRET not in f"{error} {error!r} {error.args} {vars(error)}"
    assert SECRET.encode() not in pickle.dumps(error)


def test_a_failed_load_shows_its_cause_without_values_of_rows() -> None:
    """The cause of a failed load is told by class and message, without the statement's parameters."""
    error = LoadFailed("q", "1", "IntegrityError", f"UNIQUE failed [parameters: ('{SECRET}',)]", 2.0)

    assert "IntegrityError: UNIQUE failed" in str(error)
    assert SECRET not in str(error)


class Unfriendly:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def test_any_value_can_be_shown() -> None:
    """A value whose repr raises does not hide the error that is being told."""
    assert errors.show(Unfriendly()) == "<Unfriendly whose repr raises RuntimeError>"
    assert errors.show("x" * 500).endswith("... (502 characters)")
    assert errors.show({"password": SECRET}) == "{'password': ***}"
    assert "got: '3'" in str(ParamError("q", "month", errors.show("3"), "an int"))


def test_the_root_and_the_families_can_be_raised_by_nobody_but_explain_themselves() -> None:
    """A family has a text of its own, should it ever be shown."""
    for kind in set(KINDS) - set(LEAVES):
        assert str(kind()).endswith(f"(docs/errors.md#{kind.anchor()})")
