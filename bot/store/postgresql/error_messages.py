"""One sentence on what to do about an error of PostgreSQL or of the way to it. None has a password."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg

from bot.core.errors import StoreBug, StoreError, StoreUnusable

OLDEST = 14
"""The first version of PostgreSQL with all that the bot needs of it, and the oldest that is still maintained."""

_RIGHTS = "does not let this user make or change tables: make the user its owner, or grant the rights on its schema."
_READ_ONLY = "takes no writes, as a standby does not: name the server that does, or wait until one is in charge."
_BUSY = "has no connection left for the bot: raise max_connections, or stop a program that holds some."
_STARTING = "is starting, stopping or recovering: the bot tries again by itself."
_FULL = "has no space left on its server's disk: free some space, then try again."
_SLOW = "did not answer in time: look at its server's load and for transactions that hold locks."
_NO_SUCH_HOST = "has a host that is not known: correct it in DATABASE_URL, or start that host."
_LOST = "has ended the connection: look at its server's log if it goes on."
_ADVICE = {
    "25006": _READ_ONLY,
    "42501": _RIGHTS,
    "53100": _FULL,
    "53200": "has no memory left: look at its server's memory, then try again.",
    "53300": _BUSY,
    "55P03": _SLOW,
    "57014": _SLOW,
    "57P01": _LOST,
    "57P02": _LOST,
    "57P03": _STARTING,
    "57P05": _LOST,
    "40001": _SLOW,
    "40P01": _SLOW,
    # What a migration of the bot's own raises.
    "PA001": "has another process serve what this one has served.",
}
_BUGS = ("0A", "21", "22", "23", "42", "54")
"""How the codes of errors begin for which a statement is at fault, or its values."""
_NO_BUGS = ("42501", "42P01")
"""Those of rights, and of tables that a restore makes anew."""
_PASSING = ("25006", "40", "53", "55P03", "57")
"""How the codes of errors begin that may be gone later: a server that stands by, is busy, or is ending."""
_UNUSABLE = {
    "password authentication failed": "refuses the password or the user: correct them in DATABASE_URL.",
    "no password supplied": "asks for a password: put it into DATABASE_URL.",
    "Servname not supported": "has a port that is no number: correct it in DATABASE_URL.",
    "no pg_hba.conf entry": "allows no connection from here: add a line to the server's pg_hba.conf.",
    "certificate": "shows a certificate that is not trusted: set sslrootcert in DATABASE_URL to that of its issuer.",
    "does not support SSL": "does not encrypt: set sslmode in DATABASE_URL only as far as the server can.",
}
_UNREACHABLE = {
    # Compose, for one, knows the name of a container only while that runs.
    "could not translate host name": _NO_SUCH_HOST,
    "failed to resolve host": _NO_SUCH_HOST,
    "session is read-only": _READ_ONLY,
    "server is in hot standby mode": _READ_ONLY,
    "too many clients": _BUSY,
    "connection slots are reserved": _BUSY,
    "too many connections": _BUSY,
    "the database system is": _STARTING,
    "terminating connection": _STARTING,
    "timeout": "cannot be reached: check the host and the port in DATABASE_URL, the network and its firewalls.",
    "Connection refused": "does not accept connections: start the server, or correct the port in DATABASE_URL.",
    "No such file": "does not accept connections: start the server, or correct the socket's folder in DATABASE_URL.",
}


def name_of(conninfo: Mapping[str, Any]) -> str:
    """How sentences name a database: without the user and the password."""
    hosts = str(conninfo.get("host") or conninfo.get("hostaddr") or "").split(",")
    ports = str(conninfo.get("port") or "").split(",")
    # One port is that of all hosts.
    places = zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=False)
    named = " or ".join(f"{host or 'localhost'}{f':{port}' if port else ''}" for host, port in places)
    return f"The database {conninfo.get('dbname') or 'postgres'} on {named}"


def unreachable(error: psycopg.Error, name: str) -> StoreError:
    """The error about a connection that could not be made. The server's codes are not known then, only its words.

    It is StoreUnusable where another attempt would not help.
    """
    text = str(error)
    if 'database "' in text and "does not exist" in text:
        return StoreUnusable(f"{name} does not exist: create it with createdb, or correct its name in DATABASE_URL.")
    if 'role "' in text and "does not exist" in text:
        return StoreUnusable(f"{name} does not know the user: correct it in DATABASE_URL, or use createuser.")
    for part, known in _UNUSABLE.items():
        if part in text:
            return StoreUnusable(f"{name} {known}")
    for part, known in _UNREACHABLE.items():
        if part in text:
            return StoreError(f"{name} {known}")
    # What a server says, and what libpq says of a setting, stays as it is. All else is of the way to the server.
    settled = "FATAL" in text or "connection to server" not in text or "invalid integer value" in text
    kind = StoreUnusable if settled else StoreError
    return kind(f"{name} cannot be reached ({' '.join(text.split())}): check DATABASE_URL and the server.")


def unprepared(error: psycopg.Error, name: str) -> StoreError:
    """The error about a schema that could not be looked at or brought up to date, StoreUnusable as above."""
    state = error.sqlstate
    lost = state is None and isinstance(error, psycopg.OperationalError)
    kind = StoreError if lost or (state or "").startswith(_PASSING) else StoreUnusable
    return kind(advice(error, name))


def store_error(error: psycopg.Error, name: str) -> StoreError:
    """The error about one on a connection: StoreBug where the statement would fail again."""
    code = error.sqlstate
    if code is None:
        bug = isinstance(error, psycopg.ProgrammingError | psycopg.DataError)
    else:
        bug = code.startswith(_BUGS) and code not in _NO_BUGS
    return (StoreBug if bug else StoreError)(advice(error, name))


def advice(error: psycopg.Error, name: str) -> str:
    """The sentence about an error on a connection."""
    known = _ADVICE.get(error.sqlstate or "")
    if known is None and isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
        known = _LOST
    return f"{name} {known or f'failed ({_first_line(error)}): look at its log, then try again.'}"


def lost_answer(name: str) -> str:
    """The sentence about a write that may have been made, but whose answer was lost."""
    return f"{name} was lost during a write, which may or may not have been made: look at its server's log."


def too_busy(name: str) -> str:
    """The sentence about a write that was undone again and again for others' sake."""
    return f"{name} is too busy: others are in the way of a write again and again. Try again later."


def defect(error: Exception, name: str) -> str:
    """The sentence about an error that neither PostgreSQL nor the network raised."""
    return f"{name} failed because of a bug ({type(error).__name__}): see the log, and report it."


def _first_line(error: psycopg.Error) -> str:
    # What follows may quote values of the statement.
    return str(error).partition("\n")[0]


def in_a_line(error: Exception) -> str:
    """What an error says, for the log."""
    return " ".join(str(error).split()) or type(error).__name__
