"""TLS contexts are shared, and every way a handshake fails has its name."""

import asyncio
import hashlib
import os
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from syncd.connections.tls import (
    check_pin,
    classify_tls_error,
    context_for,
    describe_tls_error,
    server_name,
)
from syncd.errors import Refused, TlsFailed, TlsFailure
from syncd.model.profile import Endpoint
from tests.support.pop3_client import pop3_endpoint
from tests.support.scripted import HOST, Hang, scripted

ENDPOINT = pop3_endpoint(995)


def write_authority(path: Path) -> Path:
    path.write_bytes(trustme.CA().cert_pem.bytes())
    return path


def test_a_context_is_made_once_for_all_servers() -> None:
    other = replace(ENDPOINT, server="elsewhere.example")
    assert context_for(ENDPOINT) is context_for(other)


def test_a_context_verifies_chain_and_name_and_wants_tls_1_2() -> None:
    context = context_for(ENDPOINT)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_an_authority_of_ones_own_has_a_context_of_its_own(tmp_path: Path) -> None:
    authority = write_authority(tmp_path / "ca.pem")
    own = replace(ENDPOINT, tls_ca=authority)
    assert context_for(own) is context_for(own)
    assert context_for(own) is not context_for(ENDPOINT)


def test_a_renewed_authority_is_read_again(tmp_path: Path) -> None:
    authority = write_authority(tmp_path / "ca.pem")
    own = replace(ENDPOINT, tls_ca=authority)
    before = context_for(own)
    write_authority(authority)
    os.utime(authority, ns=(1, 1))
    assert context_for(own) is not before


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_an_authority_that_cannot_be_read_is_refused(
    content: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Refused, match=r"tls_ca: .*ca\.pem: ."):
        context_for(replace(ENDPOINT, tls_ca=path))


def test_the_certificate_must_name_the_server_or_what_the_profile_says() -> None:
    assert server_name(ENDPOINT) == "127.0.0.1"
    assert server_name(replace(ENDPOINT, tls_server_name="mail.example")) == "mail.example"


def test_errors_without_a_reason_are_described_all_the_same() -> None:
    assert describe_tls_error(ssl.SSLError("odd")) == "('odd',)"
    assert describe_tls_error(ConnectionResetError()) == "ConnectionResetError"
    assert classify_tls_error(ssl.SSLError("odd")) is TlsFailure.OTHER
    assert classify_tls_error(ConnectionResetError()) is TlsFailure.OTHER


def test_a_pinned_server_needs_no_authority_and_no_name(tmp_path: Path) -> None:
    context = context_for(replace(ENDPOINT, tls_pin="00" * 32, tls_ca=tmp_path / "none.pem"))
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


async def shown(certificate: trustme.LeafCert, endpoint: Endpoint) -> ssl.SSLObject:
    """Shake hands with a server that shows this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    async with scripted([Hang()], tls=context) as server:
        reader, writer = await asyncio.open_connection(
            HOST, server.port, ssl=context_for(endpoint), server_hostname=server_name(endpoint)
        )
        handshake: ssl.SSLObject = writer.get_extra_info("ssl_object")
        writer.close()
        await reader.read()
    return handshake


async def test_a_pin_is_written_with_or_without_colons() -> None:
    certificate = trustme.CA().issue_cert("elsewhere.example")
    digest = sha256_of(certificate)
    pinned = replace(ENDPOINT, tls_pin=digest)
    handshake = await shown(certificate, pinned)
    check_pin(ENDPOINT, handshake)
    check_pin(pinned, handshake)
    colons = ":".join(digest[i : i + 2] for i in range(0, 64, 2)).upper()
    check_pin(replace(ENDPOINT, tls_pin=colons), handshake)


async def test_a_wrong_pin_is_told_with_both_fingerprints() -> None:
    certificate = trustme.CA().issue_cert("elsewhere.example")
    pinned = replace(ENDPOINT, tls_pin="00" * 32)
    handshake = await shown(certificate, pinned)
    with pytest.raises(TlsFailed) as failed:
        check_pin(pinned, handshake)
    assert failed.value.kind is TlsFailure.PIN_MISMATCH
    assert failed.value.words == (
        f"the certificate's SHA-256 is {sha256_of(certificate)}, tls_pin wants {'00' * 32}"
    )


async def test_a_certificate_for_another_name_is_told_with_its_names(tmp_path: Path) -> None:
    authority = trustme.CA()
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())
    certificate = authority.issue_cert("mail.example", "192.0.2.7")
    with pytest.raises(ssl.SSLCertVerificationError) as failed:
        await shown(certificate, replace(ENDPOINT, tls_ca=tmp_path / "ca.pem"))
    assert classify_tls_error(failed.value) is TlsFailure.WRONG_NAME
    words = describe_tls_error(failed.value)
    assert "not valid for '127.0.0.1'; the certificate is for mail.example, 192.0.2.7" in words


def sha256_of(certificate: trustme.LeafCert) -> str:
    pem = certificate.cert_chain_pems[0].bytes().decode()
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
