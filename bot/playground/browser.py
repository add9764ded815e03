"""Opens the page in a browser without its address on a command line, where every user of the computer could read it."""

from __future__ import annotations

import html
import os
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def opened_in_browser(url: str, folder: Path) -> Iterator[None]:
    """Open the address in the default browser. During the block, a file leads there that only this user can read.

    The file is made in `folder`: browsers in a sandbox see files in the user's home, and none in the folder for
    temporary files.
    """
    descriptor, name = tempfile.mkstemp(prefix="open-playground-", suffix=".html", dir=folder)
    file = Path(name).absolute()
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as page:
            page.write(f'<!doctype html><meta http-equiv="refresh" content="0; url={html.escape(url)}">\n')
        # Some browsers block their caller until they are closed, so nothing waits for the thread.
        threading.Thread(target=webbrowser.open, args=(file.as_uri(),), daemon=True).start()
        yield
    finally:
        file.unlink(missing_ok=True)
