"""A certificate made for one study: executors accept it and no other.

Its key never leaves the driver; the certificate travels with the task, beside the secret. It proves to an executor that
it speaks with its own driver and hides what is said; that an executor is one of ours is what the secret proves.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LIFETIME = timedelta(days=400)  # longer than a study; clocks of executors may be wrong by days
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "maggy study")])


def server_context() -> tuple[ssl.SSLContext, str]:
    """Return the context for the driver's end, TLS 1.3 only, and its new certificate as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(NAME)
        .issuer_name(NAME)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - LIFETIME)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with tempfile.TemporaryDirectory(prefix="maggy-") as folder:  # keys are read from files only
        file = Path(folder, "key")
        with open(file, "xb", opener=_ours_alone) as opened:
            opened.write(private + public)
        context.load_cert_chain(file)
    return context, public.decode()


def _ours_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
