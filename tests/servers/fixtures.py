"""pytest fixtures for the real servers; a folder's conftest.py imports the ones its tests use.

    from tests.servers.fixtures import authority, dovecot, new_user, postfix, servers_root, user

`dovecot` and `postfix` run for the whole session and are shared: give each test users of its
own (`user`, `new_user`). A test that needs a server configured differently, restarted or frozen
starts its own with `start_dovecot` and `start_postfix`; that takes some 50 ms.
"""

import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.servers import debian
from tests.servers.certificates import Authority, Certificate
from tests.servers.dovecot import Dovecot, DovecotOptions, User
from tests.servers.postfix import DOMAIN, Postfix, PostfixOptions

_numbers = itertools.count(1)


class NewUser(Protocol):
    """Makes a user nobody else has; the address is `name` and a number in example.test."""

    def __call__(self, name: str = "user", password: str = "sesame") -> User: ...


class StartDovecot(Protocol):
    """Starts a Dovecot for this test alone."""

    def __call__(
        self, options: DovecotOptions | None = None, certificate: Certificate | None = None
    ) -> Dovecot: ...


class StartPostfix(Protocol):
    """Starts a Postfix for this test alone, in front of the given Dovecot."""

    def __call__(
        self,
        dovecot: Dovecot,
        options: PostfixOptions | None = None,
        certificate: Certificate | None = None,
    ) -> Postfix: ...


@pytest.fixture(scope="session")
def servers_root() -> Path:
    """Return the private root with the unpacked servers, or skip with the reason (in CI: fail)."""
    try:
        return debian.find()
    except debian.NotAvailable as exc:
        if os.environ.get("CI"):
            pytest.fail(f"CI must have the real servers: {exc}")
        pytest.skip(str(exc))


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Return the certificate authority that signed the servers' certificates."""
    return Authority()


@pytest.fixture(scope="session")
def dovecot(
    servers_root: Path, authority: Authority, request: pytest.FixtureRequest
) -> Iterator[Dovecot]:
    """Return the session's Dovecot. Never restart or freeze it: other tests use it too."""
    server = Dovecot(servers_root, authority=authority)
    server.start()
    yield server
    server.close(keep=_has_failed(request))


@pytest.fixture(scope="session")
def postfix(
    servers_root: Path, dovecot: Dovecot, request: pytest.FixtureRequest
) -> Iterator[Postfix]:
    """Return the session's Postfix: takes mail for every user of `dovecot`, delivers it there."""
    server = Postfix(servers_root, dovecot)
    server.start()
    yield server
    server.close(keep=_has_failed(request))


@pytest.fixture
def new_user(dovecot: Dovecot) -> NewUser:
    """Return a function that makes fresh users of the session's servers."""

    def make(name: str = "user", password: str = "sesame") -> User:
        return dovecot.add_user(f"{name}{next(_numbers)}@{DOMAIN}", password)

    return make


@pytest.fixture
def user(new_user: NewUser) -> User:
    """Return one fresh user of the session's servers, with an empty maildrop."""
    return new_user()


@pytest.fixture
def start_dovecot(
    servers_root: Path, authority: Authority, request: pytest.FixtureRequest
) -> Iterator[StartDovecot]:
    """Return a function that starts a Dovecot for this test alone."""
    with contextlib.ExitStack() as running:

        def start(
            options: DovecotOptions | None = None, certificate: Certificate | None = None
        ) -> Dovecot:
            server = Dovecot(
                servers_root, options, authority=authority, certificate=certificate
            )
            running.callback(lambda: server.close(keep=_has_failed(request)))
            server.start()
            return server

        yield start


@pytest.fixture
def start_postfix(servers_root: Path, request: pytest.FixtureRequest) -> Iterator[StartPostfix]:
    """Return a function that starts a Postfix for this test alone."""
    with contextlib.ExitStack() as running:

        def start(
            dovecot: Dovecot,
            options: PostfixOptions | None = None,
            certificate: Certificate | None = None,
        ) -> Postfix:
            server = Postfix(servers_root, dovecot, options, certificate=certificate)
            running.callback(lambda: server.close(keep=_has_failed(request)))
            server.start()
            return server

        yield start


def _has_failed(request: pytest.FixtureRequest) -> bool:
    return request.session.testsfailed > 0
