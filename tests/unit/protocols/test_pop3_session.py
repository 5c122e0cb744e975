"""The session without a socket: what may be asked when, and what answers become.

Invariant of the fuzzing: whatever bytes come, in whatever pieces, `receive` never raises, and the
events are the same as if they had come at once (up to the size of a message's chunks).
"""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.model.mail import CHUNK_OCTETS
from syncd.protocols.pop3_commands import (
    TRANSITIONS,
    Command,
    State,
    Verb,
    about,
    everything,
    prelude,
    retrieve,
    single,
    top,
)
from syncd.protocols.pop3_replies import Capabilities
from syncd.protocols.pop3_session import (
    Accepted,
    Challenged,
    Chunk,
    Ended,
    Event,
    Greeted,
    Listing,
    LocalProtocolError,
    Message,
    Pop3Session,
    Refused,
    SessionLimits,
    Violated,
)

SMALL = SessionLimits(message_octets=60, listing_octets=60, listing_lines=5, header_octets=12)


def greeted(limits: SessionLimits | None = None) -> Pop3Session:
    session = Pop3Session(limits)
    session.receive(b"+OK ready\r\n")
    return session


def logged_in(limits: SessionLimits | None = None, *, pipelining: bool = True) -> Pop3Session:
    session = greeted(limits)
    session.ask(single(Verb.PASS, "secret"))
    session.bytes_to_send()
    session.receive(b"+OK\r\n")
    session.capabilities = Capabilities({"PIPELINING": ()} if pipelining else {})
    return session


def asked(*commands: Command, limits: SessionLimits | None = None) -> Pop3Session:
    session = logged_in(limits)
    session.ask(*commands)
    session.bytes_to_send()
    return session


def one(events: Iterable[Event]) -> Event:
    (event,) = events
    return event


# The greeting.


def test_the_greeting_opens_the_session() -> None:
    session = Pop3Session()
    assert session.receive(b"+OK ready <1@here>\r\n") == [
        Greeted("ready <1@here>", timestamp="<1@here>")
    ]
    assert (session.state, session.timestamp) == (State.AUTHORIZATION, "<1@here>")


def test_a_refused_greeting_ends_the_session() -> None:
    session = Pop3Session()
    assert session.receive(b"-ERR [SYS/TEMP] full\r\n+OK after all\r\n") == [
        Refused(None, "SYS/TEMP", "[SYS/TEMP] full")
    ]
    assert session.receive(b"+OK after all\r\n") == []


def test_a_challenge_is_no_greeting() -> None:
    assert isinstance(one(Pop3Session().receive(b"+ \r\n")), Violated)


def test_nothing_may_be_asked_before_the_greeting() -> None:
    with pytest.raises(LocalProtocolError):
        Pop3Session().ask(everything(Verb.CAPA))


# What may be asked when.


@pytest.mark.parametrize("state", [State.AUTHORIZATION, State.TRANSACTION])
@pytest.mark.parametrize("verb", list(Verb))
def test_the_table_says_what_may_be_asked_when(state: State, verb: Verb) -> None:
    session = greeted() if state is State.AUTHORIZATION else logged_in()
    command = single(verb)
    if (state, verb) not in TRANSITIONS:
        with pytest.raises(LocalProtocolError):
            session.ask(command)
        assert session.bytes_to_send() == b""
        return
    session.ask(command)
    assert session.bytes_to_send() == b"%b\r\n" % verb.encode()
    assert session.receive(b"-ERR no\r\n") == [Refused(command, None, "no")]
    assert session.state is state, "a refused command changes nothing"
    session.ask(command)
    session.bytes_to_send()
    assert session.receive(b"+OK\r\n") == [Accepted(command, b"")]
    assert session.state is TRANSITIONS[state, verb]


def test_nothing_may_be_asked_after_the_end() -> None:
    session = asked(single(Verb.QUIT))
    session.receive(b"+OK bye\r\n")
    with pytest.raises(LocalProtocolError):
        session.ask(single(Verb.NOOP))


def test_what_a_server_says_after_the_end_does_not_matter() -> None:
    session = asked(single(Verb.QUIT))
    assert len(session.receive(b"+OK bye\r\nand another thing\r\n")) == 1
    assert session.receive(b"and another\r\n") == []


def test_a_command_does_not_show_its_line() -> None:
    assert "secret" not in repr(single(Verb.PASS, "secret"))


# STLS.


def test_after_stls_not_a_byte_may_come_in_clear() -> None:
    session = greeted()
    session.ask(single(Verb.STLS))
    session.bytes_to_send()
    accepted, violated = session.receive(b"+OK begin\r\n+OK INJECTED\r\n")
    assert isinstance(accepted, Accepted)
    assert isinstance(violated, Violated)
    assert session.state is State.TLS


def test_after_stls_not_a_byte_may_come_later_either() -> None:
    session = greeted()
    session.ask(single(Verb.STLS))
    session.bytes_to_send()
    assert isinstance(one(session.receive(b"+OK begin\r\n")), Accepted)
    assert isinstance(one(session.receive(b"+")), Violated)


def test_after_the_handshake_everything_before_it_is_forgotten() -> None:
    session = Pop3Session()
    session.receive(b"+OK <1@here>\r\n")
    session.ask(everything(Verb.CAPA), single(Verb.STLS))
    session.bytes_to_send()
    session.receive(b"+OK\r\nPIPELINING\r\n.\r\n")
    session.bytes_to_send()
    session.receive(b"+OK\r\n")
    session.tls_started()
    assert session.state is State.AUTHORIZATION
    assert (session.capabilities, session.timestamp, session.pipelining) == (None, None, False)


# AUTH.


def test_a_challenge_is_answered_by_one_line() -> None:
    session = greeted()
    command = single(Verb.AUTH, "LOGIN")
    session.ask(command)
    assert session.bytes_to_send() == b"AUTH LOGIN\r\n"
    assert session.receive(b"+ VXNl\r\n") == [Challenged(command, b"VXNl")]
    session.respond(b"YWRh")
    assert session.bytes_to_send() == b"YWRh\r\n"
    assert session.receive(b"+OK\r\n") == [Accepted(command, b"")]
    assert session.state is State.TRANSACTION


def test_a_challenge_to_anything_else_is_a_violation() -> None:
    assert isinstance(one(asked(single(Verb.STAT)).receive(b"+ \r\n")), Violated)


# The window.


def test_without_pipelining_one_command_waits_for_the_last() -> None:
    session = logged_in(pipelining=False)
    session.ask(single(Verb.STAT), about(Verb.UIDL, 1))
    assert session.bytes_to_send() == b"STAT\r\n"
    assert session.bytes_to_send() == b""
    session.receive(b"+OK 1 1\r\n")
    assert session.bytes_to_send() == b"UIDL 1\r\n"


def test_with_pipelining_the_window_counts_octets() -> None:
    session = logged_in(SessionLimits(window_octets=1000))
    session.ask(*(retrieve(n, 400) for n in range(1, 10)))
    assert session.bytes_to_send() == b"RETR 1\r\nRETR 2\r\nRETR 3\r\n"
    session.receive(b"+OK\r\n.\r\n")
    assert session.bytes_to_send() == b"RETR 4\r\n"
    assert session.unanswered == 3


def test_a_message_larger_than_the_window_is_asked_for_alone() -> None:
    session = logged_in(SessionLimits(window_octets=1000))
    session.ask(retrieve(1, 2**62), retrieve(2, 1))
    assert session.bytes_to_send() == b"RETR 1\r\n"
    session.receive(b"+OK\r\n.\r\n")
    assert session.bytes_to_send() == b"RETR 2\r\n"


def test_with_pipelining_the_window_counts_commands_and_is_filled_in_large_writes() -> None:
    session = logged_in(SessionLimits(window_commands=10))
    session.ask(*(retrieve(n, 1) for n in range(1, 31)))
    assert session.bytes_to_send().count(b"RETR") == 10
    for left in (9, 8, 7, 6):
        session.receive(b"+OK\r\n.\r\n")
        assert session.unanswered == left
        assert session.bytes_to_send() == b""
    session.receive(b"+OK\r\n.\r\n")
    assert session.bytes_to_send().count(b"RETR") == 5


@pytest.mark.parametrize("pipelining", [True, False])
def test_a_prelude_leads_to_the_next_command_without_a_word(pipelining: bool) -> None:
    session = greeted()
    session.capabilities = Capabilities({"PIPELINING": ()} if pipelining else {})
    password = single(Verb.PASS, "secret")
    session.ask(prelude(Verb.USER, "ada"), password)
    assert session.bytes_to_send() == b"USER ada\r\n"
    assert session.bytes_to_send() == b""
    assert session.receive(b"+OK\r\n") == []
    assert session.bytes_to_send() == b"PASS secret\r\n"
    assert session.receive(b"+OK\r\n") == [Accepted(password, b"")]


def test_a_refused_prelude_calls_the_next_command_off() -> None:
    session = greeted()
    user = prelude(Verb.USER, "ada")
    session.ask(user, single(Verb.PASS, "secret"))
    session.bytes_to_send()
    assert session.receive(b"-ERR who?\r\n") == [Refused(user, None, "who?")]
    assert session.bytes_to_send() == b""
    assert session.unanswered == 0


def test_withdrawn_commands_are_not_sent() -> None:
    session = logged_in(pipelining=False)
    session.ask(retrieve(1, 1), retrieve(2, 1))
    session.bytes_to_send()
    assert session.withdraw() == 1
    assert session.withdraw() == 1
    session.receive(b"+OK\r\n.\r\n")
    assert session.bytes_to_send() == b""


# Answers.


def test_capabilities_are_noted() -> None:
    session = greeted()
    session.ask(everything(Verb.CAPA))
    session.bytes_to_send()
    event = one(session.receive(b"+OK list follows\r\nTOP\r\nPIPELINING\r\n.\r\n"))
    assert isinstance(event, Listing)
    assert session.pipelining


def test_a_listing_comes_as_a_whole() -> None:
    command = everything(Verb.UIDL)
    session = asked(command)
    assert session.receive(b"+OK\r\n1 a\r\n") == []
    assert session.receive(b"2 b\r\n.\r\n") == [Listing(command, b"1 a\r\n2 b\r\n")]


def test_an_answer_nobody_asked_for_is_a_violation() -> None:
    event = one(logged_in().receive(b"-ERR idle for too long\r\n"))
    assert event == Violated(None, "unasked: -ERR idle for too long")


def test_a_listing_too_long_is_cut() -> None:
    session = asked(everything(Verb.UIDL), limits=SMALL)
    assert session.receive(b"+OK\r\n" + b"1 a\r\n" * 5) == []
    event = one(session.receive(b"1 a\r\n" * 10))
    assert isinstance(event, Violated)
    assert event.limit
    assert session.receive(b".\r\n") == []


def test_a_listing_of_too_many_lines_is_cut() -> None:
    session = asked(everything(Verb.UIDL), limits=SMALL)
    event = one(session.receive(b"+OK\r\n" + b"1\r\n" * 6 + b".\r\n+OK\r\n"))
    assert isinstance(event, Violated)
    assert event.limit


def test_a_status_line_without_end_is_cut() -> None:
    event = one(Pop3Session().receive(b"+OK" * 1000))
    assert isinstance(event, Violated)
    assert event.limit


def test_a_header_section_is_cut_and_not_refused() -> None:
    command = top(1)
    session = asked(command, command, limits=SMALL)
    answer = b"+OK\r\nSubject: a\r\nReceived: b\r\n\r\n.\r\n"
    whole = session.receive(answer + b"+OK\r\nDate: c\r\n.\r\n")
    assert whole == [Listing(command, b"Subject: a\r\n"), Listing(command, b"Date: c\r\n")]


def test_a_header_section_may_come_in_pieces() -> None:
    session = asked(top(1), limits=SMALL)
    assert session.receive(b"+OK\r\nA: b\r\n") == []
    assert session.receive(b"\r\n.\r\n") == [Listing(top(1), b"A: b\r\n\r\n")]


def test_a_header_section_without_end_is_a_violation() -> None:
    session = asked(top(1), limits=SMALL)
    assert session.receive(b"+OK\r\n" + b"Received: b\r\n" * 4) == []
    event = one(session.receive(b"Received: b\r\n" * 4))
    assert isinstance(event, Violated)
    assert event.limit


# Messages.


def test_a_message_in_one_piece() -> None:
    commands = retrieve(1, 9), retrieve(2, 9)
    session = asked(*commands)
    data = b"+OK 9 octets\r\n..one\r\n..\r\n.\r\n+OK\r\n.\r\n"
    assert session.receive(data) == [
        Message(commands[0], b".one\r\n.\r\n"),
        Message(commands[1], b""),
    ]
    assert session.unanswered == 0


def test_a_message_of_a_server_with_bare_line_feeds() -> None:
    command = retrieve(1, 9)
    assert asked(command).receive(b"+OK\n..one\n.\n") == [Message(command, b".one\n")]


@pytest.mark.parametrize("size", [CHUNK_OCTETS - 1, CHUNK_OCTETS, CHUNK_OCTETS + 1])
@pytest.mark.parametrize("step", [1000, 70_000, 10**6])
def test_a_message_is_whole_up_to_the_size_of_a_chunk(size: int, step: int) -> None:
    session = asked(retrieve(1, 10))
    body = b"x" * (size - 2) + b"\r\n"
    events = received(session, b"+OK\r\n" + body + b".\r\n", step)
    if size <= CHUNK_OCTETS:
        assert events == [Message(retrieve(1, 10), body)]
    else:
        assert isinstance(events[-1], Ended)
        assert events[-1].octets == size
        assert gathered(events) == body


def test_stuffed_dots_do_not_count() -> None:
    session = asked(retrieve(1, 10))
    body = b".\r\n" * (CHUNK_OCTETS // 3)
    event = one(session.receive(b"+OK\r\n" + body.replace(b".", b"..") + b".\r\n"))
    assert event == Message(retrieve(1, 10), body)


@pytest.mark.parametrize("step", [60_000, 2**18, 2**22])
def test_a_large_message_comes_in_chunks(step: int) -> None:
    session = asked(retrieve(1, 10), retrieve(2, 10))
    line = b"..a line that needs its dot\r\n"
    wire = line * 60_000
    events = received(session, b"+OK\r\n" + wire + b".\r\n+OK\r\nnext\r\n.\r\n", step)
    *chunks, ended, last = events
    assert gathered(chunks) == line[1:] * 60_000
    assert all(len(c.data) <= CHUNK_OCTETS + step for c in chunks if isinstance(c, Chunk))
    assert ended == Ended(retrieve(1, 10), (len(line) - 1) * 60_000)
    assert last == Message(retrieve(2, 10), b"next\r\n")


def test_a_large_message_that_ends_with_a_chunk_has_no_empty_one() -> None:
    session = asked(retrieve(1, 10))
    body = b"x" * CHUNK_OCTETS + b"y\r\n"
    first = session.receive(b"+OK\r\n" + body[:-2])
    assert [type(event) for event in first] == [Chunk]
    second = session.receive(b"\r\n.")
    assert second == []
    assert [type(event) for event in session.receive(b"\r\n")] == [Chunk, Ended]


def test_nothing_is_left_to_hand_over_when_the_end_comes_alone() -> None:
    session = asked(retrieve(1, 10), limits=SessionLimits(message_octets=10**7))
    bare = b"x" * CHUNK_OCTETS + b"yz\n"
    assert [type(e) for e in session.receive(b"+OK\n" + bare[:-1])] == [Chunk]
    assert [type(e) for e in session.receive(b"\n.\n")] == [Chunk, Ended]


def test_a_message_beyond_the_limit_is_cut() -> None:
    limits = SessionLimits(message_octets=3 * CHUNK_OCTETS)
    session = asked(retrieve(1, 10), limits=limits)
    events = received(session, b"+OK\r\n" + b"x" * (4 * CHUNK_OCTETS), 50_000)
    assert isinstance(events[-1], Violated)
    assert events[-1].limit
    assert events[-1].command == retrieve(1, 10)
    assert len(gathered(events[:-1])) <= 3 * CHUNK_OCTETS


def test_one_message_refused_stops_only_itself() -> None:
    commands = retrieve(1, 1), retrieve(2, 1), retrieve(3, 1)
    session = asked(*commands)
    data = b"+OK\r\na\r\n.\r\n-ERR [SYS/PERM] virus\r\n+OK\r\nc\r\n.\r\n"
    assert session.receive(data) == [
        Message(commands[0], b"a\r\n"),
        Refused(commands[1], "SYS/PERM", "[SYS/PERM] virus"),
        Message(commands[2], b"c\r\n"),
    ]


# Whatever comes.

COMMANDS = st.lists(
    st.sampled_from(
        [
            retrieve(1, 1),
            retrieve(2, 1),
            top(1),
            everything(Verb.UIDL),
            single(Verb.STAT),
            single(Verb.QUIT),
            everything(Verb.CAPA),
        ]
    ),
    max_size=6,
)
WIRE = st.lists(
    st.one_of(
        st.sampled_from(
            [
                b"+OK\r\n",
                b"+OK fine\r\n",
                b"+OK\n",
                b"-ERR [IN-USE] no\r\n",
                b"+ \r\n",
                b".\r\n",
                b"\r\n",
                b"..\r\n",
                b"1 a\r\n",
                b"text\r\n",
                b"\n.\n",
                b"\r",
                b"x" * 50,
            ]
        ),
        st.binary(max_size=6),
    ),
    max_size=40,
).map(b"".join)


@given(COMMANDS, WIRE, st.booleans())
def test_whatever_comes_is_the_same_whole_and_byte_by_byte(
    commands: list[Command], wire: bytes, small: bool
) -> None:
    limits = SMALL if small else None
    whole = asked(*commands, limits=limits)
    single_bytes = asked(*commands, limits=limits)
    assert plain(received(whole, wire, len(wire) + 1)) == plain(received(single_bytes, wire, 1))
    assert whole.state == single_bytes.state
    assert whole.unanswered == single_bytes.unanswered


@given(st.binary(max_size=60), st.integers(1, 60))
def test_no_greeting_makes_it_raise(wire: bytes, step: int) -> None:
    assert received(Pop3Session(), wire, step) == received(Pop3Session(), wire, len(wire) + 1)


def received(session: Pop3Session, wire: bytes, step: int) -> list[Event]:
    """Feed a session in pieces."""
    events: list[Event] = []
    for start in range(0, len(wire), step):
        events += session.receive(wire[start : start + step])
        session.bytes_to_send()
    return events


def gathered(events: Iterable[Event]) -> bytes:
    """Put the chunks of a message together."""
    return b"".join(event.data for event in events if isinstance(event, Chunk))


def plain(events: list[Event]) -> list[Event]:
    """Leave out what may differ: how a large message was cut, before it was ended or given up."""
    return [event for event in events if not isinstance(event, Chunk)]
