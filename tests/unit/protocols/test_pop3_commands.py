"""Commands as they go out, and the table of what may be said when."""

import pytest

from syncd.protocols.pop3_commands import (
    TRANSITIONS,
    Command,
    Reply,
    State,
    Verb,
    about,
    everything,
    prelude,
    retrieve,
    single,
    top,
)


@pytest.mark.parametrize(
    ("command", "line", "reply"),
    [
        (single(Verb.STAT), b"STAT\r\n", Reply.LINE),
        (single(Verb.USER, "åda b"), "USER åda b\r\n".encode(), Reply.LINE),
        (single(Verb.APOP, "ada", "c4c9"), b"APOP ada c4c9\r\n", Reply.LINE),
        (prelude(Verb.USER, "ada"), b"USER ada\r\n", Reply.LINE),
        (everything(Verb.CAPA), b"CAPA\r\n", Reply.LISTING),
        (about(Verb.UIDL, 7), b"UIDL 7\r\n", Reply.LINE),
        (retrieve(7, 120), b"RETR 7\r\n", Reply.MESSAGE),
        (top(7), b"TOP 7 0\r\n", Reply.HEADER),
    ],
    ids=lambda value: value.decode().strip() if isinstance(value, bytes) else "",
)
def test_a_command_is_one_line_and_knows_its_answer(
    command: Command, line: bytes, reply: Reply
) -> None:
    assert (command.line, command.reply) == (line, reply)


def test_a_command_about_a_message_knows_which() -> None:
    assert [c.number for c in (about(Verb.DELE, 7), retrieve(7, 1), top(7))] == [7, 7, 7]
    assert retrieve(7, 120).octets == 120


def test_a_password_in_a_command_is_not_printed() -> None:
    assert "secret" not in repr(single(Verb.PASS, "secret"))


def test_mail_is_touched_in_the_transaction_state_only() -> None:
    """RFC 1939, 5."""
    for verb in (Verb.STAT, Verb.LIST, Verb.UIDL, Verb.TOP, Verb.RETR, Verb.DELE, Verb.NOOP):
        assert [state for state, known in TRANSITIONS if known is verb] == [State.TRANSACTION]


def test_only_a_login_opens_the_maildrop_and_only_quit_closes_it() -> None:
    opening = {verb for (_, verb), after in TRANSITIONS.items() if after is State.TRANSACTION}
    by_login = {Verb.PASS, Verb.APOP, Verb.AUTH}
    assert {v for v in opening if (State.AUTHORIZATION, v) in TRANSITIONS} - {
        Verb.CAPA
    } == by_login
    closing = {verb for (_, verb), after in TRANSITIONS.items() if after is State.UPDATE}
    assert closing == {Verb.QUIT}


def test_nothing_may_be_said_before_the_greeting_in_the_handshake_or_after_the_end() -> None:
    silent = {State.GREETING, State.TLS, State.UPDATE}
    assert not silent & {state for state, _ in TRANSITIONS}
