"""TLS contexts are shared, and every way a handshake fails has its name."""

import hashlib
import os
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from syncd.connections.tls import (
    classify_tls_error,
    context_for,
    describe_tls_error,
    matches_pin,
    server_name,
)
from syncd.errors import Refused, TlsFailure
from tests.support.pop3_client import pop3_endpoint

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


def test_a_pin_is_written_with_or_without_colons() -> None:
    digest = hashlib.sha256(b"certificate").hexdigest()
    colons = ":".join(digest[i : i + 2] for i in range(0, 64, 2)).upper()
    assert matches_pin(b"certificate", digest)
    assert matches_pin(b"certificate", colons)
    assert not matches_pin(b"another", digest)
