"""Certificates for the servers of the tests: good ones, and each kind that must be refused."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAMES = ("localhost", "127.0.0.1", "127.0.0.2", "::1")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its chain, and its key, both as PEM."""

    chain: bytes
    key: bytes


class Authority:
    """A certificate authority that only the tests trust (P-256)."""

    def __init__(self) -> None:
        self._ca = trustme.CA()

    @property
    def pem(self) -> bytes:
        """Return the authority's own certificate: the content of a `tls_ca` file."""
        return self._ca.cert_pem.bytes()

    def write(self, folder: Path) -> Path:
        """Write the authority's certificate into the folder and return the file."""
        path = folder / "ca.pem"
        path.write_bytes(self.pem)
        return path

    def client_context(self) -> ssl.SSLContext:
        """Return a context for test clients that trusts this authority and nobody else."""
        return ssl.create_default_context(cadata=self.pem.decode())

    def good(self, *names: str, common_name: str | None = None) -> Certificate:
        """Issue a valid certificate for the names; absent, for every way to say loopback."""
        return _as_pem(self._ca.issue_cert(*(names or NAMES), common_name=common_name))

    def wrong_name(self) -> Certificate:
        """Issue a valid certificate for a server that is not here."""
        return _as_pem(self._ca.issue_cert("elsewhere.example"))

    def expired(self) -> Certificate:
        """Issue a certificate that ended in 2001."""
        return _as_pem(
            self._ca.issue_cert(
                *NAMES,
                not_before=datetime(2000, 1, 1, tzinfo=UTC),
                not_after=datetime(2001, 1, 1, tzinfo=UTC),
            )
        )


def self_signed() -> Certificate:
    """Return a certificate for loopback that nobody but itself vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2038, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return Certificate(
        certificate.public_bytes(pem),
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def _as_pem(issued: trustme.LeafCert) -> Certificate:
    return Certificate(
        b"".join(blob.bytes() for blob in issued.cert_chain_pems),
        issued.private_key_pem.bytes(),
    )
