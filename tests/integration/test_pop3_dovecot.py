"""Our POP3 client against a real Dovecot: every way in, every way it goes wrong, 2,000 messages."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from syncd.clock import SystemClock
from syncd.connections.pop3 import CapabilityMemory, Pop3Source
from syncd.connections.seams import UnlockedLogin
from syncd.errors import (
    ConnectionLost,
    LoginRefused,
    PlaintextLoginForbidden,
    TlsFailed,
    TlsFailure,
)
from syncd.model.profile import Authentication, Endpoint, MailProtocol, Security
from syncd.model.secret import Secret
from tests.servers.certificates import Authority, self_signed
from tests.servers.dovecot import Dovecot, DovecotOptions, User, as_served
from tests.servers.fixtures import NewUser, StartDovecot
from tests.support.pop3_client import LIMITS, bodies, pop3_session
from tests.support.proxy import Cut, Ending, Proxy, Way

pytestmark = [pytest.mark.servers, pytest.mark.root]

BY = Authentication
MECHANISMS = [BY.AUTO, BY.USER_PASS, BY.PLAIN, BY.LOGIN, BY.CRAM_MD5]


@pytest.fixture(scope="session")
def authority_file(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return authority.write(tmp_path_factory.mktemp("authority"))


def plain(server: Dovecot, authentication: Authentication = BY.USER_PASS) -> Endpoint:
    """Without TLS; Dovecot takes a connection within one address for encrypted."""
    return Endpoint(
        protocol=MailProtocol.POP3,
        server=server.host,
        port=server.ports.pop3,
        security=Security.NONE,
        authentication=authentication,
        allow_plaintext_login=True,
    )


def ways(server: Dovecot, authority_file: Path) -> dict[str, Endpoint]:
    return {
        "plain": plain(server),
        "STLS": replace(
            plain(server),
            server=server.strict_host,
            port=server.ports.pop3_strict,
            security=Security.STARTTLS,
            allow_plaintext_login=False,
            tls_ca=authority_file,
        ),
        "TLS": replace(
            plain(server),
            port=server.ports.pop3s,
            security=Security.TLS,
            allow_plaintext_login=False,
            tls_ca=authority_file,
        ),
    }


def login_of(user: User, authorize_as: str | None = None) -> UnlockedLogin:
    return UnlockedLogin(
        username=user.address, password=Secret(user.password), authorize_as=authorize_as
    )


@pytest.mark.parametrize("way", ["plain", "STLS", "TLS"])
@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_every_mechanism_opens_the_maildrop_on_every_way(
    way: str, mechanism: Authentication, dovecot: Dovecot, user: User, authority_file: Path
) -> None:
    dovecot.deliver(user, b"Subject: here\r\n\r\n")
    endpoint = replace(ways(dovecot, authority_file)[way], authentication=mechanism)
    async with pop3_session(endpoint, login=login_of(user)) as source:
        assert (await source.glance(None)).status.count == 1
        assert await source.quit()


@pytest.mark.parametrize("way", ["plain", "STLS", "TLS"])
@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_a_wrong_password_is_refused_by_every_mechanism(
    way: str, mechanism: Authentication, dovecot: Dovecot, user: User, authority_file: Path
) -> None:
    endpoint = replace(ways(dovecot, authority_file)[way], authentication=mechanism)
    wrong = login_of(User(user.address, "not the one"))
    with pytest.raises(LoginRefused) as refused:
        async with pop3_session(endpoint, login=wrong):
            pass
    assert refused.value.response_code == "AUTH"


async def test_apop_opens_the_maildrop(dovecot: Dovecot, user: User) -> None:
    async with pop3_session(plain(dovecot, BY.APOP), login=login_of(user)) as source:
        assert await source.quit()


async def test_a_password_is_not_said_in_clear_unless_that_is_allowed(
    dovecot: Dovecot, user: User
) -> None:
    endpoint = replace(plain(dovecot), allow_plaintext_login=False)
    with pytest.raises(PlaintextLoginForbidden):
        async with pop3_session(endpoint, login=login_of(user)):
            pass


async def test_a_master_user_opens_the_maildrop_of_another(
    start_dovecot: StartDovecot, authority_file: Path
) -> None:
    boss = User("boss", "b0ss")
    server = start_dovecot(DovecotOptions(master_user=boss))
    ann = server.add_user("ann@example.test")
    server.deliver(ann, b"Subject: for ann\r\n\r\n")
    by_name = User(f"{ann.address}*{boss.address}", boss.password)
    by_plain = replace(ways(server, authority_file)["TLS"], authentication=BY.AUTO)
    for endpoint, login in [
        (plain(server), login_of(by_name)),
        (by_plain, login_of(boss, authorize_as=ann.address)),
    ]:
        async with pop3_session(endpoint, login=login) as source:
            assert (await source.glance(None)).status.count == 1
            assert await source.quit()


async def test_a_locked_maildrop_says_so(start_dovecot: StartDovecot) -> None:
    """Faults 20."""
    server = start_dovecot(DovecotOptions(pop3_lock_session=True))
    ann = server.add_user("ann@example.test")
    patient = replace(LIMITS, command_timeout=timedelta(seconds=30))
    async with pop3_session(plain(server), login=login_of(ann)) as source:
        with pytest.raises(LoginRefused) as refused:
            # Dovecot waits ten seconds for the other session before it gives up.
            async with pop3_session(plain(server), login=login_of(ann), limits=patient):
                pass
        assert await source.quit()
    assert refused.value.response_code == "IN-USE"


@pytest.mark.parametrize(
    ("flaw", "expected"),
    [
        ("expired", TlsFailure.EXPIRED),
        ("wrong name", TlsFailure.WRONG_NAME),
        ("self-signed", TlsFailure.SELF_SIGNED),
        ("unknown", TlsFailure.UNKNOWN_AUTHORITY),
    ],
)
async def test_a_bad_certificate_is_told_by_what_is_wrong_with_it(
    flaw: str,
    expected: TlsFailure,
    start_dovecot: StartDovecot,
    authority: Authority,
    authority_file: Path,
) -> None:
    """Faults 18."""
    certificate = {
        "expired": authority.expired,
        "wrong name": authority.wrong_name,
        "self-signed": self_signed,
        "unknown": Authority().good,
    }[flaw]()
    server = start_dovecot(certificate=certificate)
    ann = server.add_user("ann@example.test")
    for way in ("STLS", "TLS"):
        with pytest.raises(TlsFailed) as failed:
            async with pop3_session(ways(server, authority_file)[way], login=login_of(ann)):
                pass
        assert failed.value.kind is expected
    assert ann.address not in server.log.read_text("utf-8")


def letters(count: int) -> Iterator[bytes]:
    """Messages of every size and with every oddity that a POP3 server can hand out exactly."""
    for number in range(count):
        line = (
            b"..%d and dots.\r\n" % number if number % 3 else b"line \xff %d\r\n.\r\n" % number
        )
        yield b"Subject: %d\r\nX-Odd: \xe4\r\n\r\n" % number + line * (number * 7 % 400)


@pytest.mark.parametrize("way", ["plain", "STLS", "TLS"])
async def test_two_thousand_messages_come_octet_for_octet(
    way: str, dovecot: Dovecot, user: User, authority_file: Path
) -> None:
    """Faults 55, on real wires."""
    sent = [*letters(2000), b"Subject: large\r\n\r\n" + b".0123456789\r\n" * 400_000]
    dovecot.deliver_all(user, sent)
    async with pop3_session(ways(dovecot, authority_file)[way], login=login_of(user)) as source:
        listed = await source.list_all()
        assert [m.octets for m in listed] == [len(letter) for letter in sent]
        got = [_digest(message) async for message in bodies(source, listed)]
        assert await source.quit()
    assert got == [_digest(as_served(letter)) for letter in sent]


async def test_a_message_that_vanishes_stops_only_itself(dovecot: Dovecot, user: User) -> None:
    """Faults 53: another client removes it between LIST and RETR."""
    sent = [b"Subject: %d\r\n\r\n" % number for number in range(5)]
    dovecot.deliver_all(user, sent)
    async with pop3_session(plain(dovecot), login=login_of(user)) as source:
        listed = await source.list_all()
        dovecot.expunge(user, sent[2])
        fetched = [item async for batch in source.fetch(listed) for item in batch]
    assert [item.body for item in fetched] == [*sent[:2], None, *sent[3:]]
    assert fetched[2].refusal is not None


async def test_a_new_message_waits_for_the_next_session(dovecot: Dovecot, user: User) -> None:
    """Faults 53."""
    dovecot.deliver(user, b"Subject: one\r\n\r\n")
    async with pop3_session(plain(dovecot), login=login_of(user)) as source:
        # Dovecot answers the login before it opens the maildrop: the first listing fixes it.
        assert len(await source.list_all()) == 1
        dovecot.deliver(user, b"Subject: two\r\n\r\n")
        assert len(await source.list_all()) == 1
    async with pop3_session(plain(dovecot), login=login_of(user)) as source:
        assert len(await source.list_all()) == 2


async def test_a_connection_that_is_cut_loses_nothing_and_deletes_nothing(
    dovecot: Dovecot, user: User
) -> None:
    """Faults 4: reset and closed at swept offsets; each session goes on from what came whole."""
    sent = list(letters(30))
    dovecot.deliver_all(user, sent)
    seen: dict[str, bytes] = {}
    memory = CapabilityMemory(SystemClock())
    async with Proxy(dovecot.host, dovecot.ports.pop3) as road:
        endpoint = replace(plain(dovecot), server=road.host, port=road.port)
        for attempt in range(200):
            ending = Ending.RESET if attempt % 2 else Ending.CLOSE
            road.every_cut = Cut(Way.TO_CLIENT, 40 + attempt * 997, ending)
            try:
                async with pop3_session(
                    endpoint, login=login_of(user), memory=memory
                ) as source:
                    async for uid, message in _new(source, seen):
                        assert seen.setdefault(uid, message) == message
                    assert await source.quit()
                    break
            except ConnectionLost:
                continue
        assert road.connections > 3
    assert sorted(map(_digest, seen.values())) == sorted(map(_digest, sent))
    assert dovecot.maildrop(user) == sent


async def _new(source: Pop3Source, seen: dict[str, bytes]) -> AsyncIterator[tuple[str, bytes]]:
    wanted = [m for m in await source.list_all() if m.uid not in seen]
    async for batch in source.fetch(wanted):
        for fetched in batch:
            assert fetched.body is not None
            yield fetched.listed.uid, fetched.body


async def test_a_deleted_message_is_gone_after_quit(
    dovecot: Dovecot, new_user: NewUser
) -> None:
    user = new_user()
    sent = [b"Subject: %d\r\n\r\n" % number for number in range(3)]
    dovecot.deliver_all(user, sent)
    async with pop3_session(plain(dovecot), login=login_of(user)) as source:
        listed = await source.list_all()
        assert await source.delete(listed[:2]) == []
        assert dovecot.maildrop(user) == sent
        assert await source.quit()
    assert dovecot.maildrop(user) == sent[2:]


def _digest(message: bytes) -> str:
    return hashlib.sha256(message).hexdigest()
