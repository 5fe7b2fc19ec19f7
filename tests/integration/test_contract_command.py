"""`penstock contract`: what a developer sees, in a project of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from penstock.schema.reader import load

TASKS = """
from __future__ import annotations
from dataclasses import dataclass
from penstock import Queue

stats = Queue("stats")

@dataclass
class Summary:
    mean: float
    spread: float

@stats.task
def describe(values: list[float], trim: float = 0.0) -> Summary:
    \"\"\"Mean and spread.\"\"\"
    raise NotImplementedError
"""


class Ran(NamedTuple):
    status: int
    out: str
    err: str


class Project:
    """A folder with tasks, in git."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("tasks.py", TASKS)
        self.git("init", "-q")

    def write(self, name: str, content: str) -> None:
        (self.folder / name).write_text(textwrap.dedent(content))

    def replace(self, name: str, *changes: tuple[str, str]) -> None:
        content = (self.folder / name).read_text()
        for old, new in changes:
            assert old in content
            content = content.replace(old, new)
        (self.folder / name).write_text(content)

    def git(self, *arguments: str) -> None:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.invalid")
        subprocess.run(["git", "-C", self.folder, *who, *arguments], check=True, capture_output=True)

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-qm", "as it is")

    def penstock(self, *arguments: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "penstock", "contract", *arguments],
            cwd=self.folder,
            # Python tells a changed module by its size and the second of its change: a test is faster.
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    @property
    def contract(self) -> Path:
        return self.folder / "contracts/tasks/stats.describe/v1.json"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def exported(project: Project) -> Project:
    """A project whose contracts are written and committed."""
    assert project.penstock("export", "tasks:stats").status == 0
    project.commit()
    return project


# ── export ──────────────────────────────────────────────────────────────────────────────────────────


def test_export_writes_a_file_for_each_task_and_leaves_it_when_it_is_right(project: Project) -> None:
    # Given a project without contracts
    # When they are exported
    first = project.penstock("export", "tasks:stats")

    # Then there is one, and a second export changes nothing
    assert first == Ran(0, "written    contracts/tasks/stats.describe/v1.json\n", "")
    before = project.contract.read_bytes()
    assert project.penstock("export", "tasks:stats").out == "unchanged  contracts/tasks/stats.describe/v1.json\n"
    assert project.contract.read_bytes() == before
    assert load(project.contract).description == "Mean and spread."


def test_export_keeps_the_order_of_what_is_committed(exported: Project) -> None:
    exported.replace(
        "tasks.py", ("values: list[float], trim: float = 0.0", "*, trim: float = 0.0, values: list[float], n: int")
    )
    assert exported.penstock("export", "tasks:stats").status == 0
    assert [of.name for of in load(exported.contract).arguments.properties] == ["values", "trim", "n"]


def test_export_refuses_what_no_contract_can_say_and_writes_nothing(project: Project) -> None:
    project.replace("tasks.py", ("values: list[float]", "values"))
    done = project.penstock("export", "tasks:stats")
    assert (done.status, project.contract.exists()) == (65, False)
    assert "values: it has no annotation" in done.err
    assert "penstock contract scaffold" in done.err


def test_a_contract_that_was_written_by_hand_is_left_alone(project: Project) -> None:
    # Given a library's callable, and the draft of its contract
    project.write(
        "tasks.py",
        "from penstock import Queue\nstats = Queue('stats')\nstats.expose('math:sqrt', name='describe')\n",
    )
    assert project.penstock("scaffold", "math:sqrt", "--task", "stats.describe").status == 0
    draft = project.contract.read_text()

    # When the queue is exported, then it is said that the draft is no contract yet
    done = project.penstock("export", "tasks:stats")
    assert (done.status, project.contract.read_text()) == (65, draft)
    assert "refused" in done.out
    assert "none of the dialect's types" in done.err

    # And once it is one, it stays as it is
    todo = '{"description": "TODO: give it a type of contracts/DIALECT.md"}'
    decided = draft.replace(todo, '{"type": "number"}')
    project.contract.write_text(decided)
    assert project.penstock("export", "tasks:stats").out == "by hand    contracts/tasks/stats.describe/v1.json\n"
    assert project.contract.read_text() == decided


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("export", "tasks:nothing"), 78, "has no attribute 'nothing'"),
        (("export", "tasks:Summary"), 78, "is type, not a penstock.Queue"),
        (("export", "tasks:stats", "--task", "stats.other"), 78, "has no task stats.other"),
        (("export",), 64, "the following arguments are required"),
        (("scaffold", "math:nothing", "--task", "m.n"), 78, "has no attribute 'nothing'"),
        (("scaffold", "math:sqrt", "--task", "m"), 64, "not <queue>.<function>"),
        (("check", "--contracts", "nowhere"), 78, "there is no such directory of contracts"),
    ],
)
def test_a_wrong_command_says_what_is_wrong(
    project: Project, arguments: tuple[str, ...], status: int, says: str
) -> None:
    done = project.penstock(*arguments)
    assert done.status == status, done
    assert says in done.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("export", "no_such_tasks:stats"), "penstock: ModuleNotFoundError: No module named 'no_such_tasks'\n"),
        (("check", "failing:stats"), "failing.py\", line 3, in <module>\n    raise RuntimeError('no model file')\n"),
        (("scaffold", "no_such_library:norm", "--task", "stats.norm"), "No module named 'no_such_library'\n"),
    ],
)
def test_what_cannot_be_imported_is_shown_with_the_users_lines(
    exported: Project, arguments: tuple[str, ...], says: str
) -> None:
    exported.write("failing.py", "import os\n\nraise RuntimeError('no model file')\n")
    done = exported.penstock(*arguments)
    assert done.status == 78
    assert says in done.err
    assert f"cannot import {arguments[1]}: mend the error above" in done.err
    assert "penstock/cli" not in done.err


def test_what_cannot_be_called_gets_no_draft(project: Project) -> None:
    done = project.penstock("scaffold", "math:pi", "--task", "stats.pi")
    assert done == Ran(78, "", "penstock: 'math:pi' is float, which nobody can call\n")


# ── check ───────────────────────────────────────────────────────────────────────────────────────────


def test_check_is_content_with_what_was_exported(exported: Project) -> None:
    done = exported.penstock("check", "tasks:stats", "--against", "HEAD")
    assert done == Ran(0, "contracts: 1, to mend: 0, breaking changes: 0\n", "")


def test_a_renamed_argument_fails_the_check_and_forced_through_it_fails_it_too(exported: Project) -> None:
    # Given a contract that callers were built from
    # When a keyword argument is renamed
    exported.replace("tasks.py", ("values: list", "sample: list"))

    # Then the code has drifted from the contract
    done = exported.penstock("check", "tasks:stats", "--against", "HEAD")
    assert done.status == 65
    assert "values: the contract calls it values, the code sample; Go callers send `values`" in done.out
    assert "What to do: put the code back, or write what it says with penstock contract export" in done.out

    # And when the contract is exported anew, it breaks every caller, which is said in words
    assert exported.penstock("export", "tasks:stats").status == 0
    done = exported.penstock("check", "tasks:stats", "--against", "HEAD")
    assert done.status == 65
    assert "stats.describe/v1.json, against HEAD" in done.out
    assert "BREAKS PROPERTY_RENAMED in arguments: values: `values` was renamed to `sample`" in done.out
    assert "every Go caller that was built before sends `values`" in done.out
    assert "What to do: leave v1 as it is and write the new one beside it: version=2" in done.out


def test_a_new_version_beside_the_old_one_breaks_nobody(exported: Project) -> None:
    # Given the old function and a new one as version 2
    exported.replace("tasks.py", ("@stats.task\ndef describe(", "@stats.task(name='describe')\ndef describe_v1("))
    with (exported.folder / "tasks.py").open("a") as file:
        file.write(
            "\n@stats.task(version=2)\ndef describe(sample: list[float]) -> float:\n    raise NotImplementedError\n"
        )

    # When both are exported
    assert exported.penstock("export", "tasks:stats").status == 0

    # Then all is well
    assert exported.penstock("check", "tasks:stats", "--against", "HEAD") == Ran(
        0, "contracts: 2, to mend: 0, breaking changes: 0\n", ""
    )


def test_a_change_that_breaks_nobody_is_told_and_passes(exported: Project) -> None:
    exported.replace("tasks.py", ("trim: float = 0.0", "trim: float = 0.0, weight: float | None = None"))
    exported.penstock("export", "tasks:stats")
    done = exported.penstock("check", "tasks:stats", "--against", "HEAD")
    assert done.status == 0
    assert "ok     OPTIONAL_ADDED in arguments: weight: a float is new" in done.out
    assert "deploy workers before callers" in done.out


def test_a_deleted_version_breaks_unless_it_was_deprecated(exported: Project) -> None:
    exported.contract.unlink()
    done = exported.penstock("check", "--against", "HEAD")
    assert done.status == 65
    assert "BREAKS VERSION_REMOVED" in done.out
    assert "deprecated_since" in done.out


def spoilt(project: Project) -> None:
    document = json.loads(project.contract.read_text())
    document["$defs"]["Summary"]["properties"]["mean"]["multipleOf"] = 2
    project.contract.write_text(json.dumps(document))


def reformatted(project: Project) -> None:
    project.contract.write_text(json.dumps(json.loads(project.contract.read_text())))


def foreign(project: Project) -> None:
    (project.contract.parent / "notes.txt").write_text("x")


def orphaned(project: Project) -> None:
    project.replace("tasks.py", ("def describe(", "def another("))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (spoilt, "$defs.Summary.mean: multipleOf has no meaning here"),
        (reformatted, "run penstock contract format"),
        (foreign, "notes.txt"),
        (orphaned, "no task of queue stats serves it; put it back: it may go when"),
    ],
)
def test_what_is_wrong_with_the_files_is_told(exported: Project, change: Callable[[Project], None], says: str) -> None:
    change(exported)
    done = exported.penstock("check", "tasks:stats")
    assert done.status == 65
    assert says in done.out


def test_format_writes_the_one_form(exported: Project) -> None:
    before = exported.contract.read_bytes()
    reformatted(exported)
    assert exported.penstock("format").out == "written    contracts/tasks/stats.describe/v1.json\n"
    assert exported.contract.read_bytes() == before


def test_a_revision_that_is_not_there_fails_and_is_not_skipped(exported: Project) -> None:
    done = exported.penstock("check", "--against", "v9.9.9")
    assert done.status == 78
    assert "revision v9.9.9 (a shallow clone?)" in done.err


def test_outside_of_a_repository_there_is_no_baseline(project: Project, tmp_path: Path) -> None:
    project.penstock("export", "tasks:stats")
    (tmp_path / ".git").rename(tmp_path / "not-git")
    done = project.penstock("check", "--against", "HEAD")
    assert done.status == 78
    assert "git has no" in done.err


def test_a_revision_before_the_first_contract_has_none(project: Project) -> None:
    project.commit()
    project.penstock("export", "tasks:stats")
    assert project.penstock("check", "--against", "HEAD").status == 0


def test_findings_can_be_read_by_programs(exported: Project) -> None:
    exported.replace("tasks.py", ("values: list", "sample: list"))
    exported.penstock("export", "tasks:stats")
    done = exported.penstock("check", "--against", "HEAD", "--json")
    (finding,) = json.loads(done.out)["findings"]
    assert (finding["rule"], finding["breaks"], finding["contract"]) == (
        "PROPERTY_RENAMED",
        True,
        "stats.describe/v1.json",
    )


# ── scaffold ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("target", "holds"),
    [
        (
            "numpy.linalg:norm",
            ['"x-dtype": "float64"', '"keepdims": {\n          "type": "boolean"', '"required": ["x"]'],
        ),
        ("math:sqrt", ['"positional": ["x"]', "TODO"]),
        ("math:hypot", ["Python cannot tell the parameters"]),
        ("statistics:quantiles", ['"n": {"type": "integer", "default": 4', "TODO"]),
        ("json:dumps", ['"skipkeys": {', '"type": "boolean"', "TODO"]),
    ],
)
def test_scaffold_drafts_what_it_can_and_marks_the_rest(project: Project, target: str, holds: list[str]) -> None:
    done = project.penstock("scaffold", target, "--task", "lib.call", "--print")
    assert done.status == 0
    for each in holds:
        assert each in done.out


def test_a_draft_with_something_to_decide_is_no_contract_yet(project: Project) -> None:
    done = project.penstock("scaffold", "math:sqrt", "--task", "stats.sqrt")
    assert done.status == 0
    assert "to decide: look for TODO" in done.out
    done = project.penstock("check")
    assert done.status == 65
    assert "$defs.SqrtArgs.x: it is none of the dialect's types" in done.out


def test_a_draft_never_overwrites_a_file(project: Project) -> None:
    project.penstock("scaffold", "math:sqrt", "--task", "stats.sqrt")
    done = project.penstock("scaffold", "math:sqrt", "--task", "stats.sqrt")
    assert done.status == 64
    assert "is there already" in done.err
