"""The submission server's side of a conversation (RFC 5321, 6409, 4954, 3207, 2034, 2920).

A message is taken over when its final dot has arrived, before the 250 is on its way: what then
happens to that answer is the client's problem, and the tests' subject. Recipients whose
address is local get it into their maildrop; everybody else is believed to have received it.
"""

import re
from collections.abc import Callable
from email.utils import format_datetime
from functools import partial

from syncd.sandbox.dialogue import Dialogue, House
from syncd.sandbox.logins import Attempt
from syncd.sandbox.misbehaviour import Drop
from syncd.sandbox.steps import Close, Steps, Upgrade
from syncd.sandbox.witness import Accepted, Service

STRICT_END = re.compile(rb"\r\n\.\r\n")
LAX_END = re.compile(rb"\r?\n\.\r?\n|\r\.\r")
MOST_RECIPIENTS = 1000
ADDRESS = re.compile(r"<([^<>\s]*)>(?: (.*))?", re.ASCII | re.DOTALL)


class SmtpDialogue(Dialogue):
    """One submission session: any number of messages, one envelope at a time."""

    service = Service.SMTP

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self._username = ""  # of a login that succeeded
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._reading_body = False
        self._searched = 0  # octets of the message that were searched for its end
        self._cut_body_after: int | None = None
        self._commands: dict[str, Callable[[bytes], Steps]] = {
            "EHLO": self._ehlo,
            "HELO": self._helo,
            "STARTTLS": self._starttls,
            "AUTH": self._auth,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "RSET": self._rset,
            "NOOP": lambda _: (b"250 2.0.0 OK\r\n",),
            "VRFY": lambda _: (b"252 2.5.0 send it and see\r\n",),
            "QUIT": lambda _: (b"221 2.0.0 bye\r\n", Close()),
        }

    def secured(self) -> None:
        """Forget the whole session but TLS (RFC 3207 4.2)."""
        super().secured()
        self._forget_envelope()
        self._username = ""

    def next(self, received: bytearray) -> Steps | None:
        """Take one command, or one message, off the front of what has arrived."""
        return self._read_body(received) if self._reading_body else super().next(received)

    def lost(self) -> None:
        """Forget a message that did not arrive whole."""
        self._forget_envelope()

    # ------------------------------------------------------------ framing

    def _greeting(self) -> Steps:
        return (f"220 {self._house.name} ESMTP sandbox\r\n".encode(),)

    def _error(self, why: str) -> bytes:
        return f"500 5.5.2 {why}\r\n".encode()

    def _challenge(self, text: bytes) -> bytes:
        return b"334 " + text + b"\r\n"

    def _command(self, verb: str, rest: bytes) -> Steps:
        perform = self._commands.get(verb)
        if perform is None:
            return (self._error("unknown command"),)
        return self._through(verb, _names(rest), partial(perform, rest))

    # ------------------------------------------------------------ before mail

    def _ehlo(self, _rest: bytes) -> Steps:
        self._forget_envelope()
        house = self._house
        offers = [
            house.name,
            "PIPELINING",
            f"SIZE {house.largest_message}",
            "8BITMIME",
            "SMTPUTF8",
            "ENHANCEDSTATUSCODES",
        ]
        if house.offer_tls and not self._secure:
            offers.append("STARTTLS")
        else:
            offers.append("AUTH " + " ".join(house.mechanisms))
        lines = [f"250-{offer}\r\n" for offer in offers[:-1]]
        return ("".join([*lines, f"250 {offers[-1]}\r\n"]).encode(),)

    def _helo(self, _rest: bytes) -> Steps:
        self._forget_envelope()
        return (f"250 {self._house.name}\r\n".encode(),)

    def _starttls(self, _rest: bytes) -> Steps:
        if self._secure or not self._house.offer_tls:
            return (b"502 5.5.1 no STARTTLS here\r\n",)
        return (b"220 2.0.0 begin TLS\r\n", Upgrade())

    def _auth(self, rest: bytes) -> Steps:
        if self._house.offer_tls and not self._secure:
            return (b"538 5.7.11 STARTTLS first\r\n",)
        if self._username or self._sender is not None:
            return (b"503 5.5.1 not now\r\n",)
        return self._authenticate(rest)

    def _judge(self, attempt: Attempt) -> Steps:
        if attempt.drop is None:
            self._house.witness.refused(self.service, attempt.username)
            return (b"535 5.7.8 name or password is wrong\r\n",)
        self._username = attempt.username
        self._house.witness.logged_in(self.service, attempt.username)
        return (b"235 2.7.0 welcome\r\n",)

    # ------------------------------------------------------------ the envelope

    def _mail(self, rest: bytes) -> Steps:
        if not self._username:
            return (b"530 5.7.0 authenticate first\r\n",)
        if self._sender is not None:
            return (b"503 5.5.1 one sender is enough\r\n",)
        path = _path(rest, b"FROM:")
        if path is None:
            return (b"501 5.1.7 no such syntax of a sender\r\n",)
        sender, parameters = path
        size = re.search(r"\bSIZE=(\d{1,20})", parameters, re.IGNORECASE)
        if size is not None and int(size[1]) > self._house.largest_message:
            return (b"552 5.3.4 message too large\r\n",)
        if not sender.isascii() and "SMTPUTF8" not in parameters.upper().split():
            return (b"553 5.6.7 SMTPUTF8 was not asked for\r\n",)
        self._sender = sender
        return (b"250 2.1.0 OK\r\n",)

    def _rcpt(self, rest: bytes) -> Steps:
        if self._sender is None:
            return (b"503 5.5.1 MAIL first\r\n",)
        path = _path(rest, b"TO:")
        if path is None or not path[0]:
            return (b"501 5.1.3 no such syntax of a recipient\r\n",)
        if len(self._recipients) >= MOST_RECIPIENTS:
            return (b"452 4.5.3 too many recipients\r\n",)
        self._recipients.append(path[0])
        return (b"250 2.1.5 OK\r\n",)

    def _rset(self, _rest: bytes) -> Steps:
        self._forget_envelope()
        return (b"250 2.0.0 OK\r\n",)

    def _forget_envelope(self) -> None:
        self._sender = None
        self._recipients = []

    # ------------------------------------------------------------ the message

    def _data(self, _rest: bytes) -> Steps:
        if self._sender is None:
            return (b"503 5.5.1 MAIL first\r\n",)
        if not self._recipients:
            return (b"554 5.5.1 no valid recipients\r\n",)
        self._reading_body = True
        self._searched = 0
        self._cut_body_after = self._where_to_break()
        return (b"354 go ahead\r\n",)

    def _where_to_break(self) -> int | None:
        """Ask the rules whether the connection is to break within the message."""
        house = self._house
        if not house.rules:
            return None
        act = house.rules.find(
            self.service, self._user, "BODY", (), house.open_now[self.service]
        )
        return act.after if isinstance(act, Drop) else None

    def _read_body(self, received: bytearray) -> Steps | None:
        if self._cut_body_after is not None and len(received) >= self._cut_body_after:
            received.clear()
            return (Close(),)
        # The CRLF that ended DATA also begins the first line: a message may be a lone dot.
        if not self._searched:
            received[:0] = b"\r\n"
        ending = LAX_END if self._house.lax_dot else STRICT_END
        end = ending.search(received, max(0, self._searched - 4))
        if end is None:
            self._searched = len(received)
            return None
        body = bytes(received[2 : end.start()]) + b"\r\n" if end.start() else b""
        del received[: end.end()]
        self._reading_body = False
        return self._through("DOT", (), partial(self._take_over, body))

    def _take_over(self, stuffed: bytes) -> Steps:
        body = dot_unstuffed(stuffed)
        if len(body) > self._house.largest_message:
            self._forget_envelope()
            return (b"552 5.3.4 message too large\r\n",)
        message = Accepted(
            sender=self._sender or "",
            recipients=tuple(self._recipients),
            body=body,
            username=self._username,
        )
        self._forget_envelope()
        number = self._house.stamp().strip(b"<>").partition(b"@")[0].decode()
        self._house.witness.accepted(message)
        self._deliver(message, number)
        return (f"250 2.0.0 taken as {number}\r\n".encode(),)

    def _deliver(self, message: Accepted, number: str) -> None:
        house = self._house
        date = format_datetime(house.clock.now())
        for recipient in message.recipients:
            drop = house.office.at(recipient)
            if drop is None:
                continue
            trace = (
                f"Return-Path: <{message.sender}>\r\n"
                f"Received: from {message.username or 'nobody'} by {house.name}"
                f" with ESMTPA id {number}\r\n\tfor <{recipient}>; {date}\r\n"
            )
            house.witness.deposited(drop.address, drop.deposit(trace.encode() + message.body))


def _names(rest: bytes) -> tuple[str, ...]:
    """Return what a rule may call a command's argument: the address between the brackets."""
    text = rest.decode("utf-8", "replace")
    found = ADDRESS.search(text)
    return (found[1].casefold(),) if found else (text.casefold(),)


def _path(rest: bytes, prefix: bytes) -> tuple[str, str] | None:
    """Return address and parameters of `FROM:<a@b> SIZE=1`; None where it is not that."""
    if rest[: len(prefix)].upper() != prefix:
        return None
    text = rest[len(prefix) :].decode("utf-8", "replace").lstrip(" ")
    found = ADDRESS.fullmatch(text)
    return None if found is None else (found[1], found[2] or "")


def dot_unstuffed(body: bytes) -> bytes:
    """Take one dot from the start of every line that has one."""
    plain = body.replace(b"\r\n.", b"\r\n")
    return plain.removeprefix(b".")
