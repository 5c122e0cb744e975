"""The incoming story against a real Dovecot: what it serves is what the store holds."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from syncd.model.mailbox import Login
from syncd.model.secret import Secret
from syncd.store import messages
from tests.servers.dovecot import Dovecot, DovecotOptions, User, as_served
from tests.servers.fixtures import StartDovecot
from tests.support.incoming import ADDRESS, HandClock, Inbox, inbox_of, plain_profile
from tests.support.sandbox import letter
from tests.support.store import declare, opened

pytestmark = [pytest.mark.servers, pytest.mark.root]

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"


@asynccontextmanager
async def inbox_at(server: Dovecot, user: User, path: Path) -> AsyncIterator[Inbox]:
    """Open a store that knows one mailbox, which is this user's."""
    async with opened(path) as db:
        (record,) = await declare(db, ADDRESS)
        profile = plain_profile(server.host, server.ports.pop3)
        mailbox = inbox_of(profile, user.address, user.password)
        yield Inbox(path, db, mailbox, record, HandClock())


@pytest.fixture
async def inbox(dovecot: Dovecot, user: User, tmp_path: Path) -> AsyncIterator[Inbox]:
    """A mailbox on the session's Dovecot."""
    async with inbox_at(dovecot, user, tmp_path / "syncd.db") as inbox:
        yield inbox


async def test_mail_comes_in_and_an_unchanged_poll_changes_nothing(
    dovecot: Dovecot, user: User, inbox: Inbox
) -> None:
    sent = [letter(f"number {n}") for n in range(20)]
    dovecot.deliver_all(user, sent)
    outcome = await inbox.poll()
    assert (outcome.failure, outcome.taken) == (None, 20)
    remembered = inbox.memory
    assert (await inbox.poll()).memory is remembered
    dovecot.deliver(user, letter("later"))
    assert (await inbox.poll()).taken == 1
    assert inbox.stored() == [*sent, letter("later")]


async def test_a_queue_is_emptied(dovecot: Dovecot, user: User, inbox: Inbox) -> None:
    inbox.become_queue()
    sent = [letter(f"number {n}") for n in range(20)]
    dovecot.deliver_all(user, sent)
    outcome = await inbox.poll()
    assert (outcome.taken, outcome.deleted) == (20, 20)
    assert dovecot.maildrop(user) == []
    assert inbox.stored() == sent


async def test_a_message_removed_by_another_client_is_no_trouble(
    dovecot: Dovecot, user: User, inbox: Inbox
) -> None:
    sent = [letter(f"number {n}") for n in range(5)]
    dovecot.deliver_all(user, sent)
    await inbox.poll()
    dovecot.expunge(user, sent[1])
    dovecot.deliver(user, letter("later"))
    outcome = await inbox.poll()
    assert (outcome.failure, outcome.taken) == (None, 1)


async def test_row_15_another_format_of_uidl_doubles_nothing(
    start_dovecot: StartDovecot, tmp_path: Path
) -> None:
    server = start_dovecot(DovecotOptions(pop3_uidl_format="%08Xu%08Xv"))
    user = server.add_user("row15@example.test")
    sent = [letter(f"number {n}") for n in range(520)]
    server.deliver_all(user, sent)
    async with inbox_at(server, user, tmp_path / "syncd.db") as inbox:
        assert (await inbox.poll()).taken == 520
        server.restart(replace(server.options, pop3_uidl_format="%g"))
        server.deliver(user, letter("new"))
        outcome = await inbox.poll()
        assert (outcome.adopted, outcome.taken, outcome.duplicates) == (520, 1, 0)
        assert Counter(inbox.stored()) == Counter([*sent, letter("new")])
        ((code, text, _),) = inbox.alerts()
        assert code == "messages_recognised"
        assert text.startswith(f"520 messages of {server.host}:{server.ports.pop3} ")
        assert (await inbox.poll()).taken == 0


async def test_row_20_a_maildrop_locked_by_another_session_is_tried_again(
    start_dovecot: StartDovecot, tmp_path: Path
) -> None:
    server = start_dovecot(DovecotOptions(pop3_lock_session=True))
    user = server.add_user("row20@example.test")
    server.deliver(user, letter("a"))
    async with inbox_at(server, user, tmp_path / "syncd.db") as inbox:
        phone = await inbox.open_source()
        outcome = await inbox.poll()
        assert outcome.failure is not None
        assert outcome.failure.code == "maildrop_locked"
        await phone.quit()
        assert (await inbox.poll()).taken == 1


async def test_a_wrong_password_is_suspect(inbox: Inbox, user: User) -> None:
    login = Login(username=user.address, password=Secret("not-the-one"))
    inbox.wish(incoming_login=login)
    outcome = await inbox.poll()
    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.failure.suspect) == ("login_refused", True)
    assert "not-the-one" not in repr(outcome)


def corpus() -> Iterator[bytes]:
    """Yield every message of the corpus."""
    for path in sorted(CORPUS.rglob("*")):
        if path.is_file() and path.parent != CORPUS and "LICENCES" not in path.parts:
            yield path.read_bytes()


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus beside the project")
async def test_every_message_of_the_corpus_comes_out_octet_for_octet(
    dovecot: Dovecot, user: User, inbox: Inbox
) -> None:
    sent = [body for body in corpus() if body]
    assert len(sent) > 1000
    dovecot.deliver_all(user, sent)
    outcome = await inbox.poll()
    assert outcome.failure is None
    assert outcome.quarantined == outcome.skipped == outcome.refused == 0
    rows = await inbox.db.read(lambda reader: messages.list_messages(reader, None, 0, 10**6))
    exported = [
        b"".join([chunk async for chunk in messages.read_raw(inbox.db, row)]) for row in rows
    ]
    assert Counter(exported) == Counter({as_served(body) for body in sent})
