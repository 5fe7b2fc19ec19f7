"""What is in the files under watched directories, by their stamps: two looks tell what has changed in between.

Looking is plain polling: it works on every file system, mounts of containers included, and needs no package.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

#: Directories that hold no code of the user's; so do hidden ones and virtual environments.
_SKIPPED: Final = frozenset({"__pycache__", "node_modules"})
#: The file that makes a directory a virtual environment (PEP 405).
_ENVIRONMENT: Final = "pyvenv.cfg"


class Stamp(NamedTuple):
    """What a file's content cannot change without; the inode tells a file from another that was renamed over it."""

    mtime_ns: int
    size: int
    inode: int


class Watched(NamedTuple):
    """A directory and how the names of the files end that count in it, for instance `.py`."""

    folder: Path
    suffix: str


Snapshot = Mapping[Path, Stamp]


def snapshot(watched: Iterable[Watched]) -> Snapshot:
    """The stamps of all watched files, now.

    Left out are hidden files and folders, `__pycache__`, `node_modules` and virtual environments below a watched
    folder (the folder itself may be any of them), and links to folders. What cannot be read is not there.
    """
    return {path: stamp for folder, suffix in watched for path, stamp in _files(folder, suffix)}


def changes(before: Snapshot, after: Snapshot) -> list[Path]:
    """The files that have changed, appeared or gone between two looks, in the order of their names."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def forget_bytecode(sources: Iterable[Path]) -> None:
    """Remove what Python has compiled of these sources.

    It tells whether that is up to date by the size of the source and the second of its change: a second save within
    one second, of as many bytes, would never be run.
    """
    for source in sources:
        for compiled in (source.parent / "__pycache__").glob(f"{source.stem}.*.pyc"):
            compiled.unlink(missing_ok=True)


def _files(folder: Path, suffix: str) -> Iterator[tuple[Path, Stamp]]:
    folders = [str(folder)]
    while folders:
        for entry in _entries(folders.pop()):
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _SKIPPED and not os.path.lexists(os.path.join(entry.path, _ENVIRONMENT)):  # noqa: PTH118 -- two looks a second: no Path for each
                    folders.append(entry.path)
            elif entry.name.endswith(suffix) and (stamp := _stamp(entry)):
                yield Path(entry.path), stamp


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []  # gone since its parent was read, or not for us


def _stamp(entry: os.DirEntry[str]) -> Stamp | None:
    try:
        status = entry.stat()
    except OSError:
        return None  # gone since, or a link to nothing
    return Stamp(status.st_mtime_ns, status.st_size, status.st_ino)
