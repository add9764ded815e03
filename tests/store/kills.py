"""What a kill would leave of a database at each statement, without a process for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

Left: TypeAlias = tuple[tuple[str, bytes], ...]


class Kills:
    """Keeps what SIGKILL would leave of a database's folder each time that it is called, as a statement begins.

    What a process has written to its files outlives it, and nothing else does: a copy of them is the same.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[Left, Left] = {}
        self.left: list[Left] = []
        """What each kill leaves; equal ones are one."""

    def __call__(self, _sql: str) -> None:
        # The next connection makes the index of the log anew: https://www.sqlite.org/walformat.html
        files = (file for file in sorted(self._folder.iterdir()) if not file.name.endswith("-shm"))
        left = tuple((file.name, file.read_bytes()) for file in files)
        self.left.append(self._known.setdefault(left, left))

    def distinct(self, folder: Path) -> Iterator[tuple[Left, Path]]:
        """Each that differs from those before, and a folder with its files."""
        for number, left in enumerate(self._known):
            restored = folder / str(number)
            restored.mkdir(parents=True)
            for name, content in left:
                (restored / name).write_bytes(content)
            yield left, restored
