"""What counts as a change of the code that `penstock dev` runs."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from penstock.cli.dev_watch import Watched, changes, forget_bytecode, snapshot


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "pkg" / "app.py"
    path.parent.mkdir()
    path.write_text("x = 1\n")
    return path


def look(folder: Path) -> dict[Path, tuple[int, ...]]:
    return {path: tuple(stamp) for path, stamp in snapshot([Watched(folder, ".py")]).items()}


def seen_after(folder: Path, *, save: Path, text: str) -> list[Path]:
    before = snapshot([Watched(folder, ".py")])
    save.parent.mkdir(parents=True, exist_ok=True)
    save.write_text(text)
    return changes(before, snapshot([Watched(folder, ".py")]))


def test_nothing_has_changed_when_nothing_was_saved(tmp_path: Path, source: Path) -> None:
    before = snapshot([Watched(tmp_path, ".py")])
    assert list(before) == [source]
    assert changes(before, snapshot([Watched(tmp_path, ".py")])) == []


def test_a_file_that_was_saved_appeared_or_went_has_changed(tmp_path: Path, source: Path) -> None:
    assert seen_after(tmp_path, save=source, text="x = 22\n") == [source]
    assert seen_after(tmp_path, save=tmp_path / "new" / "b.py", text="") == [tmp_path / "new" / "b.py"]
    before = snapshot([Watched(tmp_path, ".py")])
    source.unlink()
    assert changes(before, snapshot([Watched(tmp_path, ".py")])) == [source]


def test_a_file_that_was_renamed_over_another_of_its_size_and_time_has_changed(tmp_path: Path, source: Path) -> None:
    other = tmp_path / "other"
    other.write_text("x = 2\n")
    status = source.stat()
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    before = snapshot([Watched(tmp_path, ".py")])
    other.replace(source)
    assert changes(before, snapshot([Watched(tmp_path, ".py")])) == [source]


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        ".hidden.py",
        ".git/hook.py",
        "__pycache__/app.py",
        "node_modules/tool/gyp.py",
        "env/lib/python3.11/site-packages/library.py",
    ],
)
def test_what_is_no_code_of_the_user_does_not_count(name: str, tmp_path: Path, source: Path) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "pyvenv.cfg").touch()
    assert seen_after(tmp_path, save=tmp_path / name, text="") == []
    assert list(look(tmp_path)) == [source]


def test_a_link_to_a_folder_above_is_no_endless_tree(tmp_path: Path, source: Path) -> None:
    (source.parent / "up").symlink_to(tmp_path, target_is_directory=True)
    assert list(look(tmp_path)) == [source]


def test_a_link_to_a_file_counts_and_one_to_nothing_does_not(tmp_path: Path, source: Path) -> None:
    (tmp_path / "link.py").symlink_to(source)
    (tmp_path / "nothing.py").symlink_to(tmp_path / "gone")
    assert sorted(look(tmp_path)) == [tmp_path / "link.py", source]


def test_a_folder_that_is_not_there_has_no_files_until_it_is(tmp_path: Path) -> None:
    later = tmp_path / "contracts"
    before = snapshot([Watched(later, ".json")])
    later.mkdir()
    (later / "v1.json").touch()
    assert changes(before, snapshot([Watched(later, ".json")])) == [later / "v1.json"]


def test_what_was_compiled_of_a_changed_file_is_forgotten_and_nothing_else(source: Path) -> None:
    cached = Path(importlib.util.cache_from_source(str(source)))
    neighbour = cached.with_name("apple.cpython-311.pyc")
    cached.parent.mkdir()
    cached.touch()
    neighbour.touch()
    forget_bytecode([source, source.with_name("never_compiled.py")])
    assert (cached.exists(), neighbour.exists()) == (False, True)
