"""A lab's certification authority, for tests that speak real TLS."""

from __future__ import annotations

import atexit
import ipaddress
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from transports.wire_settings import TlsSettings

SERVER_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Pair:
    """The files of a certificate and its key."""

    certificate: str
    key: str


class Authority:
    """Signs certificates; keeps all files in one directory."""

    def __init__(self, directory: Path, name: str = "lab-ca") -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        authority = (
            self._builder(self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
        )
        self.file = str(directory / f"{name}.pem")
        """The authority's own certificate."""
        self._certificate = authority.sign(self._key, hashes.SHA256())
        Path(self.file).write_bytes(self._certificate.public_bytes(Encoding.PEM))

    def issue(
        self, name: str, subject_names: Sequence[str] = SERVER_NAMES, *, days: int = 2, password: str = ""
    ) -> Pair:
        """A certificate for host names and addresses; ``days`` may be negative: then it has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            self._builder(_name(name), key, days)
            .add_extension(x509.SubjectAlternativeName([_general_name(each) for each in subject_names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(issuer_key, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pair = Pair(str(self._directory / f"{name}.pem"), str(self._directory / f"{name}.key"))
        Path(pair.certificate).write_bytes(certificate.public_bytes(Encoding.PEM))
        locked = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        Path(pair.key).write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
        return pair

    def server(self, pair: Pair | None = None, *, require_client: bool = False) -> TlsSettings:
        """For whoever is called."""
        pair = pair or self.issue("server")
        return TlsSettings(self.file, pair.certificate, pair.key, require_client=require_client)

    def client(self, pair: Pair | None = None) -> TlsSettings:
        """For whoever calls, with a certificate of its own or without."""
        if pair is None:
            return TlsSettings(self.file)
        return TlsSettings(self.file, pair.certificate, pair.key)

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: int = 2) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=30))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


@cache
def lab_authority() -> Authority:
    """One authority for the whole run, where a test does not need its own."""
    directory = Path(tempfile.mkdtemp(prefix="lab-ca-"))
    atexit.register(shutil.rmtree, directory)
    return Authority(directory)


@cache
def lab_tls() -> TlsSettings:
    """For both sides: ``localhost`` by name and address, and a certificate that clients may show, too."""
    return lab_authority().server()
