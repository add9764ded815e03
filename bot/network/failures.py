"""Why a connection failed, from the chain of exceptions behind an error of aiohttp or of a library on top of it."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError


class Cause(Enum):
    """The kinds of failure, as far as something else is to be done about them."""

    REFUSED = auto()
    UNKNOWN_NAME = auto()
    NO_LOOKUP = auto()
    """Names cannot be looked up just now."""
    NO_ROUTE = auto()
    TIMEOUT = auto()
    CLOSED = auto()
    """The other side closed the connection without an answer."""
    NO_HTTP = auto()
    NO_TLS = auto()
    ONLY_TLS = auto()
    UNTRUSTED = auto()
    """The certificate is of an authority that is not known, or of none."""
    OUTDATED = auto()
    WRONG_NAME = auto()
    """The certificate is for another host."""
    PROXY_UNREACHABLE = auto()
    PROXY_LOGIN = auto()
    PROXY_REFUSED = auto()
    OTHER = auto()


NOTHING_ANSWERED = frozenset({Cause.REFUSED, Cause.UNKNOWN_NAME, Cause.NO_LOOKUP, Cause.NO_ROUTE, Cause.TIMEOUT})
LASTING = frozenset(
    {Cause.NO_TLS, Cause.ONLY_TLS, Cause.UNTRUSTED, Cause.WRONG_NAME, Cause.PROXY_LOGIN, Cause.PROXY_REFUSED}
)
"""What stays so until somebody changes something."""

REMEDIES = {
    Cause.NO_LOOKUP: "Check the network and the DNS server of this computer.",
    Cause.NO_ROUTE: "Check the network of this computer.",
    Cause.UNTRUSTED: (
        "If its certificate comes from an authority of your own, name the file with that authority's certificate in"
        " SSL_CERT_FILE and restart."
    ),
    Cause.OUTDATED: "Renew the server's certificate, or correct the clock of this computer.",
    Cause.PROXY_UNREACHABLE: "Start the proxy, or correct HTTPS_PROXY or HTTP_PROXY and restart.",
    Cause.PROXY_LOGIN: (
        "Write the proxy's name and password into HTTPS_PROXY or HTTP_PROXY, as in http://NAME:PASSWORD@HOST:PORT, and"
        " restart."
    ),
    Cause.PROXY_REFUSED: "Allow the host in the proxy, or add it to NO_PROXY and restart.",
}
"""What to do wherever a connection leads to."""

_WRONG_NAME = {62, 63, 64}
"""The codes of OpenSSL's X509_V_ERR_ for a mismatch of host, e-mail and IP address."""
_OUTDATED = {9, 10}
"""Not valid yet, and expired."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a connection failed. `reason` is a clause without anything that the other side sent."""

    cause: Cause
    reason: str


_CLOSED = Failure(Cause.CLOSED, "it closed the connection without an answer")


def links(error: BaseException) -> Iterator[BaseException]:
    """An error and those behind it, outermost first."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def failure(error: BaseException) -> Failure:
    """The failure behind an error. The libraries on top report most of them as a timeout, whatever they were."""
    chain = list(links(error))
    for link in chain:
        match link:
            case aiohttp.ClientHttpProxyError(status=407):
                return Failure(Cause.PROXY_LOGIN, "the proxy wants a name and a password (407)")
            case aiohttp.ClientHttpProxyError(status=status):
                return Failure(Cause.PROXY_REFUSED, f"the proxy refused to connect to it ({status})")
            case aiohttp.ClientProxyConnectionError():
                inner = _of_system(chain)
                return Failure(Cause.PROXY_UNREACHABLE, f"the proxy {link.host}:{link.port}: {inner.reason}")
    return _of_system(chain)


def _of_system(chain: list[BaseException]) -> Failure:
    # The innermost error is the system's own. The ones around it repeat it, or call it something else.
    for link in reversed(chain):
        match link:
            case ssl.SSLCertVerificationError(verify_code=code, verify_message=said):
                return _of_certificate(code, said)
            case ssl.SSLError(reason="WRONG_VERSION_NUMBER" | "RECORD_LAYER_FAILURE" | "PACKET_LENGTH_TOO_LONG"):
                return Failure(Cause.NO_TLS, "it doesn't speak TLS (https) on this port")
            case ssl.SSLEOFError():
                return _CLOSED
            case ssl.SSLError(reason=str(name)):
                return Failure(Cause.OTHER, f"the TLS handshake failed ({name})")
            case socket.gaierror(errno=socket.EAI_AGAIN):
                return Failure(Cause.NO_LOOKUP, "host names cannot be looked up right now")
            case socket.gaierror():
                return Failure(Cause.UNKNOWN_NAME, f"unknown host {_host(chain)}")
            case ConnectionRefusedError():
                return Failure(Cause.REFUSED, "connection refused")
            case TimeoutError():
                return Failure(Cause.TIMEOUT, "no answer within the time allowed")
            case ConnectionResetError() | BrokenPipeError() | aiohttp.ServerDisconnectedError():
                return _CLOSED
            case OSError(errno=errno.EHOSTUNREACH | errno.ENETUNREACH):
                return Failure(Cause.NO_ROUTE, "there is no route to it")
            case aiohttp.WSServerHandshakeError(status=status):
                return Failure(Cause.OTHER, f"it refused the connection ({status})")
            case aiohttp.ClientResponseError() | HttpProcessingError():
                return Failure(Cause.NO_HTTP, "its answer isn't HTTP")
            case OSError(errno=int(number)) if not isinstance(link, aiohttp.ClientError):
                return Failure(Cause.OTHER, os.strerror(number))
    return Failure(Cause.OTHER, type(chain[-1]).__name__)


def _of_certificate(code: int, said: str) -> Failure:
    if code in _OUTDATED:
        return Failure(Cause.OUTDATED, f"its certificate is not valid today ({said})")
    if code in _WRONG_NAME:
        return Failure(Cause.WRONG_NAME, "its certificate is for another host")
    return Failure(Cause.UNTRUSTED, f"its certificate is not trusted ({said})")


def _host(chain: list[BaseException]) -> str:
    return next((link.host for link in chain if isinstance(link, aiohttp.ClientConnectorError)), "this")
