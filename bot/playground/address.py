"""The page's address, kept in a file: for a day it is the same at the next start, and open tabs come back."""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

_LASTS = 24 * 60 * 60
"""Seconds after the last start or end of a playground in which the next one has the same address."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the page is on this computer. Its secret lets a browser in."""

    port: int
    secret: str

    @classmethod
    def new(cls, port: int) -> Self:
        return cls(port, secrets.token_urlsafe(16))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/{self.secret}/"

    @classmethod
    def read(cls, file: Path) -> Self | None:
        """The address in a file that `keep` wrote, unless it is too old or others could have read it."""
        try:
            status = file.stat()
            if time.time() - status.st_mtime > _LASTS or (os.name == "posix" and status.st_mode & 0o077):
                return None
            match json.loads(file.read_bytes()):
                case {"port": int(port), "secret": str(secret)} if re.fullmatch(r"[\w-]{22}", secret, re.ASCII):
                    return cls(port, secret) if 0 < port < 2**16 else None
        except (OSError, ValueError):
            pass
        return None

    def keep(self, file: Path) -> None:
        """Write the address to a file that only this user can read."""
        file.unlink(missing_ok=True)
        descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as written:
            json.dump(asdict(self), written)
