"""A PostgreSQL server of the tests' own, on a socket in a temporary folder, and a new database for each test.

Benchmarks start one here too, which answers on loopback and is as durable as an operator's.
"""

from __future__ import annotations

import asyncio
import getpass
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from bot.store.postgresql import PostgreSQLEngine

_QUICK = """
listen_addresses = ''
fsync = off
full_page_writes = off
shared_buffers = 32MB
max_wal_size = 64MB
max_connections = 100
"""
MISSING = "PostgreSQL is not installed: on Debian, `apt-get install postgresql`"
_START_S = 60.0
_TEMPLATE = "parley"


class Server:
    """A server that runs. Its databases are copies of one whose schema is up to date.

    It is quick, and reached by a socket in its folder; on `loopback`, with a port of its own, it is as it is installed.
    """

    def __init__(
        self, binaries: Path, folder: Path, *, loopback: bool = False, standby_of: Server | None = None
    ) -> None:
        self._binaries = binaries
        # The server refuses to run as root.
        self._user = "postgres" if getpass.getuser() == "root" else None
        self.user = self._user or getpass.getuser()
        self.folder = folder
        self._port = _free_port() if loopback else None
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        if self._user:
            shutil.chown(folder, self._user, self._user)
        if standby_of is None:
            self._make()
        else:
            self._copy(standby_of)

    def _copy(self, other: Server) -> None:
        source = f"host={other.folder} user={other.user} application_name=standby"
        self._run("pg_basebackup", "-d", source, "-D", "data", "-R", "--checkpoint=fast", "--no-sync")
        self._configure()
        self.start()

    def _make(self) -> None:
        self._run("initdb", "-D", "data", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-U", self.user)
        self._configure(_QUICK if self._port is None else f"listen_addresses = '127.0.0.1'\nport = {self._port}\n")
        self.start()
        self.execute(f"CREATE DATABASE {_TEMPLATE}")
        # Since PostgreSQL 15 a copy goes through the log unless told otherwise, which takes five times the work.
        [(version,)] = self.execute("SELECT current_setting('server_version_num')::int")
        self._copying = "STRATEGY FILE_COPY" if int(str(version)) >= 150_000 else ""
        # In a thread, since a loop may be running here.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, _make_schema(self.url(_TEMPLATE))).result()

    def _configure(self, lines: str = "") -> None:
        with (self.folder / "data" / "postgresql.conf").open("a") as file:
            file.write(f"{lines}unix_socket_directories = '{self.folder}'\n")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(  # noqa: S603 - PostgreSQL's own program
            [self._binaries / program, *arguments],
            cwd=self.folder,
            user=self._user,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - PostgreSQL's own program
                [self._binaries / "postgres", "-D", "data"], cwd=self.folder, user=self._user, stdout=log, stderr=log
            )
        give_up = time.monotonic() + _START_S
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < give_up, (self.folder / "log").read_text()
                time.sleep(0.05)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """End the server: at once, without tidying up, or as another signal has it."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(_START_S)
            self._process = None

    @property
    def process_ids(self) -> list[int]:
        """The server's process and those of its connections. Empty while it does not run."""
        if self._process is None:
            return []
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [pid, *map(int, children.split())]

    def url(self, database: str) -> str:
        if self._port is not None:
            return f"postgresql://{self.user}@127.0.0.1:{self._port}/{database}"
        return f"postgresql:///{database}?host={self.folder}&user={self.user}"

    def execute(self, sql: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run a statement outside of any transaction; the answer is its rows."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def dump(self, url: str, file: Path) -> None:
        """Write a database as SQL."""
        with file.open("wb") as out:
            subprocess.run([self._binaries / "pg_dump", url], user=self._user, check=True, stdout=out)  # noqa: S603

    @contextmanager
    def new_database(self) -> Iterator[str]:
        """The URL of a new database without conversations."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} {self._copying}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def standby(self) -> Iterator[Server]:
        """A server that has all that is committed on this one, and takes no writes until it is promoted."""
        with tempfile.TemporaryDirectory(prefix="parley-pg-") as name:
            standby = Server(self._binaries, Path(name), standby_of=self)
            # From now on each commit waits for it.
            self.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
            self.execute("SELECT pg_reload_conf()")
            try:
                while self.execute("SELECT sync_state FROM pg_stat_replication") != [("sync",)]:
                    time.sleep(0.05)
                yield standby
            finally:
                standby.stop()
                if self._process is None:
                    self.start()
                self.execute("ALTER SYSTEM RESET synchronous_standby_names")
                self.execute("SELECT pg_reload_conf()")

    def promote(self) -> None:
        """Have a standby take writes."""
        self.execute("SELECT pg_promote()")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


async def _make_schema(url: str) -> None:
    async with PostgreSQLEngine.open(url, serving=False):
        pass


def installed() -> Path | None:
    """The folder of the newest PostgreSQL that is installed."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    folders = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((file.parent for file in folders), key=lambda folder: int(folder.parent.name), default=None)


@contextmanager
def running(binaries: Path, *, loopback: bool = False) -> Iterator[Server]:
    """A server that runs until the block ends, and leaves nothing behind."""
    # Not in pytest's folder, which other users may not enter, and whose path may be too long for a socket.
    with tempfile.TemporaryDirectory(prefix="parley-pg-") as name:
        server = Server(binaries, Path(name), loopback=loopback)
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    """A server, one for each process of the tests, started when the first test asks for it."""
    binaries = installed()
    if binaries is None:
        if "CI" in os.environ:
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with running(binaries) as server:
        yield server


@pytest.fixture
def postgresql_url(postgresql_server: Server) -> Iterator[str]:
    """The URL of a database of the test's own."""
    with postgresql_server.new_database() as url:
        yield url
