"""How connections to other computers are made: through which proxy, and whose certificates are trusted."""

from __future__ import annotations

import ssl
from base64 import b64encode
from dataclasses import dataclass, field
from functools import cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Network:
    """The operator's rules for connections. Proxies are URLs, which may hold a name and a password."""

    https_proxy: str | None = field(default=None, repr=False)
    http_proxy: str | None = field(default=None, repr=False)
    no_proxy: tuple[str, ...] = ()
    """The hosts that are connected to directly. Each is a name, which includes all names below it, an address or a
    network such as 10.0.0.0/8, any of the former with a port, or `*` for all."""
    certificates: Path | None = None
    """A file with certificates of authorities to trust beside those that the system trusts."""

    def proxy(self, url: str) -> str | None:
        """The proxy for a URL. Servers on this computer have none."""
        pieces = urlsplit(url)
        host = (pieces.hostname or "").rstrip(".")
        secure = pieces.scheme in ("https", "wss")
        port = pieces.port or (443 if secure else 80)
        if _is_loopback(host) or any(_matches(entry, host, port) for entry in self.no_proxy):
            return None
        return self.https_proxy if secure else self.http_proxy

    def tls(self) -> ssl.SSLContext:
        """What a TLS connection is checked with. Raises OSError if the file of certificates cannot be read."""
        return _context(self.certificates)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The names and passwords in the proxies, in each form in which a library may show them, longest first."""
        found: set[str] = set()
        for url in filter(None, (self.https_proxy, self.http_proxy)):
            login = urlsplit(url).netloc.rpartition("@")[0]
            for each in (login, unquote(login)):
                found |= {each, each.partition(":")[2], b64encode(each.encode()).decode()}
        return tuple(sorted(found - {""}, key=len, reverse=True))


@cache
def _context(certificates: Path | None) -> ssl.SSLContext:
    # Imported here because most commands make no connection. It knows each system's own authorities.
    import httpx2

    # Not what the variable SSL_CERT_FILE says to the library: it would count in place of the system's authorities, and
    # with an authority of one's own for the model, Discord would no longer be trusted.
    context = httpx2.create_ssl_context(trust_env=False)
    context.set_alpn_protocols(["http/1.1"])
    if certificates is not None:
        context.load_verify_locations(certificates)
    return context


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _matches(entry: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY names a host, which is in lower case."""
    if entry == "*":
        return True
    try:
        return ip_address(host) in ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        name = entry.lower().removeprefix("*").lstrip(".").removesuffix(f":{port}").strip("[]")
        return bool(name) and f".{host}".endswith(f".{name}")
