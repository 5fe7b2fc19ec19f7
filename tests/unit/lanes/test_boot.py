"""Importing user code in a child: what is found, and what is shown when it fails."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.domain.imports import failure_text
from penstock.errors import DeclarationError
from penstock.lanes.runner.boot import describe, load

#: Writes a module and returns its name.
Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Write:
    name = f"user_module_{abs(hash(request.node.name))}"
    monkeypatch.syspath_prepend(tmp_path)

    def made(source: str) -> str:
        (tmp_path / f"{name}.py").write_text(source)
        request.addfinalizer(lambda: sys.modules.pop(name, None))
        return name

    return made


def failure(call: Callable[[], object]) -> BaseException:
    with pytest.raises((Exception, SystemExit)) as raised:
        call()
    return raised.value


def test_the_queue_of_a_module_is_found(write: Write) -> None:
    module = write("from penstock import Queue\nq = Queue('stats')\nq.expose('math:sqrt')\n")
    assert load(f"{module}:q").name == "stats"
    assert [spec.name for spec in describe([f"{module}:q"], "contracts/tasks")] == ["stats"]


@pytest.mark.parametrize(("value", "kind"), [("4", "int"), ("None", "NoneType"), ("'stats'", "str")])
def test_what_is_no_queue_is_refused_by_its_kind(write: Write, value: str, kind: str) -> None:
    module = write(f"q = {value}\n")
    with pytest.raises(DeclarationError, match=rf":q' is {kind}, not a penstock\.Queue"):
        load(f"{module}:q")


def test_a_queue_without_tasks_is_refused(write: Write) -> None:
    module = write("from penstock import Queue\nq = Queue('stats')\n")
    with pytest.raises(DeclarationError, match=r"queue 'stats' .* has no task"):
        list(describe([f"{module}:q"], "contracts/tasks"))


def test_a_failed_import_is_shown_from_the_users_first_line_on(write: Write) -> None:
    # Given a module that fails in a function of its own
    module = write("def broken():\n    return {}['missing']\n\nbroken()\n")

    # When its failure is told
    text = failure_text(failure(lambda: load(f"{module}:q")))

    # Then it is the user's lines and the error, without ours and the import system's
    assert text.startswith("Traceback (most recent call last):\n")
    assert "line 4, in <module>" in text
    assert "return {}['missing']" in text
    assert text.endswith("KeyError: 'missing'")
    assert "importlib" not in text
    assert "penstock/queue.py" not in text


def test_a_module_that_is_missing_is_named() -> None:
    text = failure_text(failure(lambda: load("no_such_module_of_ours:q")))
    assert text.endswith("\nModuleNotFoundError: No module named 'no_such_module_of_ours'")


def test_a_syntax_error_is_shown_with_its_line(write: Write) -> None:
    module = write("x = 1\ndef broken(:\n")
    text = failure_text(failure(lambda: load(f"{module}:q")))
    assert f'{module}.py", line 2' in text
    assert "def broken(:" in text
    assert "SyntaxError" in text


def test_a_wrong_declaration_is_told_in_its_own_words(write: Write) -> None:
    module = write("from penstock import Queue\nq = Queue('a b')\n")
    text = failure_text(failure(lambda: load(f"{module}:q")))
    assert text.startswith("queue name 'a b' does not match")


def test_a_module_that_exits_says_so(write: Write) -> None:
    module = write("import sys\nsys.exit('no licence')\n")
    text = failure_text(failure(lambda: load(f"{module}:q")))
    assert "sys.exit('no licence')" in text
    assert text.endswith("SystemExit: no licence")


@pytest.mark.parametrize("directory", ["penstock", "importlib_demo", "home/me/penstock/app"])
def test_wherever_the_users_module_lies_its_lines_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directory: str
) -> None:
    """A checkout is easily called penstock; only the package itself is ours."""
    # Given a module below a directory with such a name
    folder = tmp_path / directory
    folder.mkdir(parents=True)
    (folder / "module_in_a_folder.py").write_text("raise ValueError('here')\n")
    monkeypatch.syspath_prepend(folder)

    # When its import fails, then its line is shown
    text = failure_text(failure(lambda: load("module_in_a_folder:q")))
    assert "module_in_a_folder.py" in text
    assert "raise ValueError('here')" in text


def test_a_very_long_text_is_cut_and_keeps_its_end(write: Write) -> None:
    # Given an error with a text of 100 KB
    module = write("raise ValueError('x' * 100_000 + 'END')\n")

    # When it is told, then a frame can carry it and the end is there
    text = failure_text(failure(lambda: load(f"{module}:q")))
    assert len(text) <= 8192
    assert text.endswith("END")
