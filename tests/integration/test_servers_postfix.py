"""The Postfix that other tests stand on really does what its fixture says, seen by smtplib."""

import smtplib
import ssl
import threading
from collections.abc import Callable

import pytest

from tests.servers.dovecot import Dovecot, User
from tests.servers.fixtures import NewUser, StartPostfix
from tests.servers.postfix import Postfix

pytestmark = [pytest.mark.servers, pytest.mark.root]

# Complete: Postfix would add the headers that are missing.
MESSAGE = (
    b"From: a@example.test\r\nSubject: x\r\nMessage-ID: <1@example.test>\r\n"
    b"Date: Mon, 23 Nov 2026 16:18:09 +0000\r\n\r\n.dot\r\n\xff\r\n"
)


def log_in(server: Postfix, user: User) -> smtplib.SMTP:
    client = smtplib.SMTP(server.host, server.ports.plain, timeout=10)
    try:
        client.ehlo()
        client.login(user.address, user.password)
    except smtplib.SMTPException:
        client.close()
        raise
    return client


def eventually(condition: Callable[[], bool]) -> bool:
    """Tell whether the condition came true within ten seconds."""
    tick = threading.Event()
    return any(condition() or tick.wait(0.02) for _ in range(500))


def test_a_submitted_message_arrives_in_the_maildrop(
    dovecot: Dovecot, postfix: Postfix, new_user: NewUser
) -> None:
    ann, bob = new_user("ann"), new_user("bob")
    client = log_in(postfix, ann)
    client.sendmail(ann.address, [bob.address], MESSAGE)
    client.quit()
    assert eventually(lambda: bool(dovecot.maildrop(bob)))
    (arrived,) = dovecot.maildrop(bob)
    assert arrived.endswith(MESSAGE)
    assert arrived.startswith(b"Return-Path: <%s>" % ann.address.encode())


def test_submission_wants_starttls_before_a_login(postfix: Postfix, user: User) -> None:
    with smtplib.SMTP(postfix.host, postfix.ports.submission, timeout=10) as client:
        client.ehlo()
        assert not client.has_extn("auth")
        client.starttls(context=postfix.authority.client_context())
        client.ehlo()
        client.login(user.address, user.password)


def test_smtps_takes_a_login(postfix: Postfix, user: User) -> None:
    context = postfix.authority.client_context()
    with smtplib.SMTP_SSL(
        "localhost", postfix.ports.smtps, context=context, timeout=10
    ) as client:
        client.login(user.address, user.password)


def test_a_wrong_password_is_refused(postfix: Postfix, user: User) -> None:
    with pytest.raises(smtplib.SMTPAuthenticationError, match="535"):
        log_in(postfix, User(user.address, "wrong"))


def test_without_a_login_nothing_is_taken(postfix: Postfix, user: User) -> None:
    with smtplib.SMTP(postfix.host, postfix.ports.plain, timeout=10) as client:
        client.ehlo()
        client.mail(user.address)
        assert client.rcpt(user.address)[0] == 554


def test_recipients_are_answered_one_by_one(
    dovecot: Dovecot, postfix: Postfix, user: User
) -> None:
    postfix.answer("busy@example.test", "451 4.7.1 come back later")
    client = log_in(postfix, user)
    refused = client.sendmail(
        user.address,
        [user.address, "nobody@example.test", "busy@example.test", "x@outside.example"],
        MESSAGE,
    )
    client.quit()
    assert {who: reply[0] for who, reply in refused.items()} == {
        "nobody@example.test": 550,
        "busy@example.test": 451,
        "x@outside.example": 550,
    }
    assert eventually(lambda: len(dovecot.maildrop(user)) == 1)


def test_an_answer_can_be_taken_back(postfix: Postfix, user: User) -> None:
    postfix.answer(user.address, "450 4.2.1 mailbox busy")
    client = log_in(postfix, user)
    client.mail(user.address)
    assert client.rcpt(user.address)[0] == 450
    client.quit()
    postfix.forget_answers()
    client = log_in(postfix, user)
    client.mail(user.address)
    assert client.rcpt(user.address)[0] == 250
    client.quit()


def test_what_is_queued_survives_a_restart(
    dovecot: Dovecot, start_postfix: StartPostfix, new_user: NewUser
) -> None:
    server = start_postfix(dovecot)
    ann = new_user()
    client = log_in(server, ann)
    client.sendmail(ann.address, [ann.address], MESSAGE)
    client.quit()
    server.restart()
    # Stopped between Dovecot's answer and its own note of it, Postfix delivers once more
    # (RFC 1047): that it kept the message is what counts here.
    assert eventually(lambda: bool(dovecot.maildrop(ann)) and server.queued() == 0)


def test_the_certificate_is_of_the_tests_authority_only(postfix: Postfix) -> None:
    stranger = ssl.create_default_context()
    with pytest.raises(ssl.SSLCertVerificationError):
        smtplib.SMTP_SSL("localhost", postfix.ports.smtps, context=stranger, timeout=10)
