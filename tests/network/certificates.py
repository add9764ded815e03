"""Certificates for servers on this machine, made with the program openssl."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest


def certificate(folder: Path, *, name: str = "IP:127.0.0.1", days: int = 2) -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate for a name, as OpenSSL writes one, and what a TLS server with it listens with.

    With negative `days` it has expired.
    """
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the program openssl makes the certificates")
    file, key, request, names = (folder / part for part in ("own.pem", "own.key", "own.csr", "own.cnf"))
    names.write_text(f"subjectAltName={name}\nbasicConstraints=CA:TRUE\n")
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-subj", "/CN=own")
    sign = ("-signkey", key, "-days", str(days), "-extfile", names, "-out", file)
    for command in (("req", *new, "-out", request), ("x509", "-req", "-in", request, *sign)):
        subprocess.run([openssl, *command], check=True, capture_output=True, timeout=60)  # noqa: S603 -- our own
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file, key)
    return file, context
