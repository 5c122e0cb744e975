"""The Dovecot that other tests stand on really does what its fixture says, seen by poplib and imaplib."""

import imaplib
import poplib
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.servers.certificates import self_signed
from tests.servers.dovecot import Dovecot, DovecotOptions, User, as_served
from tests.servers.fixtures import NewUser, StartDovecot
from tests.servers.process import is_listening

pytestmark = [pytest.mark.servers, pytest.mark.root]

ODD = b"Subject: odd\r\nX: y\r\n\r\n.dot\r\n..\r\nbare\nlf \0 nul \xff\r\n.\r\nno end"


def log_in(server: Dovecot, user: User) -> poplib.POP3:
    client = poplib.POP3(server.host, server.ports.pop3, timeout=30)
    try:
        client.user(user.address)
        client.pass_(user.password)
    except poplib.error_proto:
        client.close()
        raise
    return client


def retrieve(client: poplib.POP3, number: int) -> bytes:
    return b"".join(line + b"\r\n" for line in client.retr(number)[1])


def uidls(client: poplib.POP3) -> list[bytes]:
    return [line.split()[1] for line in client.uidl()[1]]


def test_a_delivered_message_is_served_as_delivered(dovecot: Dovecot, user: User) -> None:
    dovecot.deliver(user, ODD)
    client = log_in(dovecot, user)
    assert client.stat() == (1, len(as_served(ODD)) - 2)  # the end of line that RETR adds
    assert retrieve(client, 1) == as_served(ODD)
    client.quit()
    assert dovecot.maildrop(user) == [ODD]


def test_messages_come_in_the_order_of_delivery(dovecot: Dovecot, user: User) -> None:
    sent = [b"Subject: %d\r\n\r\nx\r\n" % number for number in range(30)]
    assert dovecot.deliver_all(user, sent) == 30
    client = log_in(dovecot, user)
    assert [retrieve(client, number) for number in range(1, 31)] == sent
    client.quit()


def test_a_deleted_message_is_gone_after_quit_only(dovecot: Dovecot, user: User) -> None:
    dovecot.deliver_all(user, [b"Subject: a\r\n\r\n", b"Subject: b\r\n\r\n"])
    client = log_in(dovecot, user)
    client.dele(1)
    assert len(dovecot.maildrop(user)) == 2
    client.quit()
    assert dovecot.maildrop(user) == [b"Subject: b\r\n\r\n"]


def test_pop3s_and_stls_show_a_certificate_of_the_tests_authority(
    dovecot: Dovecot, user: User
) -> None:
    context = dovecot.authority.client_context()
    poplib.POP3_SSL("localhost", dovecot.ports.pop3s, context=context, timeout=10).quit()
    strict = poplib.POP3(dovecot.strict_host, dovecot.ports.pop3_strict, timeout=10)
    strict.stls(context)
    strict.user(user.address)
    strict.pass_(user.password)
    strict.quit()


def test_the_strict_port_refuses_a_password_before_stls(dovecot: Dovecot, user: User) -> None:
    client = poplib.POP3(dovecot.strict_host, dovecot.ports.pop3_strict, timeout=10)
    with pytest.raises(poplib.error_proto, match="Plaintext authentication disallowed"):
        client.user(user.address)
    client.close()


def test_imap_serves_the_same_mail(dovecot: Dovecot, user: User) -> None:
    dovecot.deliver(user, b"Subject: x\r\n\r\ny\r\n")
    with imaplib.IMAP4(dovecot.host, dovecot.ports.imap, timeout=10) as client:
        client.login(user.address, user.password)
        assert client.select() == ("OK", [b"1"])


def test_a_new_password_counts_at_once(dovecot: Dovecot, user: User) -> None:
    log_in(dovecot, user).quit()
    changed = dovecot.add_user(user.address, "another: one")
    with pytest.raises(poplib.error_proto, match=r"\[AUTH\]"):
        log_in(dovecot, user)
    log_in(dovecot, changed).quit()


def test_apop_and_the_master_user_are_taken(start_dovecot: StartDovecot) -> None:
    boss = User("boss", "b0ss")
    server = start_dovecot(DovecotOptions(master_user=boss))
    ann = server.add_user("ann@example.test")
    client = poplib.POP3(server.host, server.ports.pop3, timeout=10)
    client.apop(ann.address, ann.password)
    client.quit()
    log_in(server, User(f"{ann.address}*{boss.address}", boss.password)).quit()


def test_another_uidl_format_renames_every_message(start_dovecot: StartDovecot) -> None:
    server = start_dovecot(DovecotOptions(pop3_uidl_format="%08Xu%08Xv"))
    user = server.add_user("ann@example.test")
    server.deliver_all(user, [b"Subject: a\r\n\r\n", b"Subject: b\r\n\r\n"])
    client = log_in(server, user)
    before = uidls(client)
    client.quit()
    server.restart(DovecotOptions(pop3_uidl_format="%v-%u"))
    client = log_in(server, user)
    after = uidls(client)
    client.quit()
    assert len(before) == len(after) == 2
    assert not set(before) & set(after)


def test_a_locked_maildrop_is_in_use_for_a_second_session(start_dovecot: StartDovecot) -> None:
    server = start_dovecot(DovecotOptions(pop3_lock_session=True))
    user = server.add_user("ann@example.test")
    first = log_in(server, user)
    # Dovecot waits ten seconds for the other session before it gives up.
    with pytest.raises(poplib.error_proto, match=r"\[IN-USE\]"):
        log_in(server, user)
    first.quit()


def test_a_user_has_no_more_connections_than_allowed(start_dovecot: StartDovecot) -> None:
    server = start_dovecot(DovecotOptions(mail_max_userip_connections=2))
    user = server.add_user("ann@example.test")
    held: list[poplib.POP3] = []
    # A session counts from when its process says so, which may be a moment after the login.
    with pytest.raises(poplib.error_proto, match=r"\[IN-USE\] Maximum number of connections"):
        held.extend(log_in(server, user) for _ in range(5))
    assert 2 <= len(held) <= 3
    for client in held:
        client.quit()


def test_a_self_signed_certificate_is_shown_when_asked_for(start_dovecot: StartDovecot) -> None:
    server = start_dovecot(certificate=self_signed())
    with pytest.raises(ssl.SSLCertVerificationError):
        poplib.POP3_SSL(
            "localhost",
            server.ports.pop3s,
            context=server.authority.client_context(),
            timeout=10,
        )


def test_a_frozen_server_takes_the_connection_and_says_nothing(
    start_dovecot: StartDovecot,
) -> None:
    server = start_dovecot()
    user = server.add_user("ann@example.test")
    server.process.freeze()
    with socket.create_connection((server.host, server.ports.pop3)) as silent:
        silent.settimeout(0.3)
        with pytest.raises(TimeoutError):
            silent.recv(1)
    server.process.thaw()
    log_in(server, user).quit()


def test_users_of_one_test_see_nothing_of_another(dovecot: Dovecot, new_user: NewUser) -> None:
    one, other = new_user(), new_user()
    dovecot.deliver(one, b"Subject: x\r\n\r\n")
    client = log_in(dovecot, other)
    assert client.stat() == (0, 0)
    client.quit()


def test_the_servers_die_with_the_process_that_started_them(servers_root: Path) -> None:
    program = textwrap.dedent("""
        import os, signal
        from tests.servers import debian
        from tests.servers.dovecot import Dovecot
        from tests.servers.postfix import Postfix
        dovecot = Dovecot(debian.find())
        dovecot.start()
        postfix = Postfix(debian.find(), dovecot)
        postfix.start()
        print(dovecot.ports.pop3, postfix.ports.plain, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    killed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    left = {int(port) for port in killed.stdout.split()}
    assert len(left) == 2
    # Dovecot's master gives its children a second; nothing tells a stranger when it has ended.
    for port in left:
        wait = subprocess.run(
            ["sh", "-c", f"while bash -c '</dev/tcp/127.0.0.1/{port}'; do sleep 0.05; done"],
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=20,
        )
        assert wait.returncode == 0
        assert not is_listening(port)
