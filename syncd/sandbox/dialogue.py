"""What POP3 and SMTP dialogues have in common: lines, logins, and rules that bend answers.

Rule 1: a dialogue touches no socket. It is given what has arrived, takes one command off its
front and returns steps.
Rule 2: every command goes through `_through`, so that any of them can be made to go wrong.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from syncd.clock import Clock
from syncd.sandbox.logins import MECHANISMS, Attempt, Exchange, decode, encode
from syncd.sandbox.maildrops import PostOffice
from syncd.sandbox.misbehaviour import Rules, misbehave
from syncd.sandbox.steps import Close, Steps
from syncd.sandbox.witness import Service, Witness

LONGEST_LINE = 16 * 1024
"""Octets of a command line: RFC 4954 4 asks for 12288 where authentication is offered."""


@dataclass(slots=True)
class House:
    """What all dialogues of one sandbox share."""

    office: PostOffice
    rules: Rules
    witness: Witness
    clock: Clock
    name: str = "sandbox.example"
    offer_tls: bool = False
    """STLS and STARTTLS are offered, and nobody may log in before them."""
    mechanisms: Sequence[str] = tuple(MECHANISMS)
    largest_message: int = 256 * 1024 * 1024
    lax_dot: bool = False
    """End a message sent by SMTP at LF-dot-LF too, as servers do that get smuggled to."""
    open_now: dict[Service, int] = field(default_factory=lambda: dict.fromkeys(Service, 0))
    said: int = 0
    """How many stamps were made: each must differ."""

    def stamp(self) -> bytes:
        """Return a fresh challenge for APOP and CRAM-MD5 (RFC 1939 section 7)."""
        self.said += 1
        moment = int(self.clock.now().timestamp())
        return f"<{self.said}.{moment}@{self.name}>".encode()


class Dialogue(ABC):
    """One client's conversation, whatever the protocol."""

    service: Service

    def __init__(self, house: House) -> None:
        self._house = house
        self._secure = False
        self._user = ""
        self._exchange: Exchange | None = None

    # ------------------------------------------------------------ what the connection calls

    def greet(self) -> Steps:
        """Return the steps before the client has said anything."""
        return self._through("CONNECT", (), self._greeting)

    def next(self, received: bytearray) -> Steps | None:
        """Take one command off the front; None while it has not arrived whole."""
        end = received.find(b"\n")
        if end < 0:
            if len(received) <= LONGEST_LINE:
                return None
            received.clear()
            return (self._error("line too long"), Close())
        line = bytes(received[: end + 1]).rstrip(b"\r\n")
        del received[: end + 1]
        self._house.witness.heard(self.service, line)
        if self._exchange is not None:
            return self._respond(line)
        verb, _, rest = line.partition(b" ")
        return self._command(verb.decode("latin-1").upper(), rest)

    def begin_tls(self) -> Steps:
        """Return what to do before the handshake; nothing, unless a rule says so."""
        return self._through("TLS", (), tuple)

    def secured(self) -> None:
        """TLS is up: forget what was learnt before it (RFC 2595 4, RFC 3207 4.2)."""
        self._secure = True
        self._user = ""

    @abstractmethod
    def lost(self) -> None:
        """Tidy up: the connection is gone, nothing more can be said."""

    # ------------------------------------------------------------ what the protocols bring

    @abstractmethod
    def _greeting(self) -> Steps: ...

    @abstractmethod
    def _command(self, verb: str, rest: bytes) -> Steps: ...

    @abstractmethod
    def _error(self, why: str) -> bytes: ...

    @abstractmethod
    def _challenge(self, text: bytes) -> bytes: ...

    @abstractmethod
    def _judge(self, attempt: Attempt) -> Steps: ...

    # ------------------------------------------------------------ shared vocabulary

    def _through(
        self, verb: str, arguments: Sequence[str], perform: Callable[[], Steps]
    ) -> Steps:
        """Carry a command out, unless a rule has other plans."""
        rules = self._house.rules
        if not rules:
            return perform()
        act = rules.find(
            self.service, self._user, verb, arguments, self._house.open_now[self.service]
        )
        return perform() if act is None else misbehave(act, perform)

    def _authenticate(self, rest: bytes) -> Steps:
        """AUTH mechanism [initial-response] (RFC 5034, RFC 4954)."""
        name, _, initial = rest.partition(b" ")
        mechanism = name.decode("latin-1").upper()
        if mechanism not in self._house.mechanisms:
            return (self._error("unknown mechanism"),)
        self._exchange = MECHANISMS[mechanism](self._house.office, self._house.stamp())
        challenge = next(self._exchange)
        if initial:
            return self._respond(initial)
        return (self._challenge(encode(challenge)),)

    def _respond(self, line: bytes) -> Steps:
        exchange, self._exchange = self._exchange, None
        response = decode(line)
        if exchange is None or line == b"*" or response is None:
            return (self._error("authentication cancelled"),)
        try:
            challenge = exchange.send(response)
        except StopIteration as end:
            return self._finish_login(end.value)
        self._exchange = exchange
        return (self._challenge(encode(challenge)),)

    def _finish_login(self, attempt: Attempt) -> Steps:
        self._user = attempt.username
        return self._through(
            "LOGIN", (attempt.username.casefold(),), lambda: self._judge(attempt)
        )
