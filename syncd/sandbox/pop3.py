"""The POP3 server's side of a conversation (RFC 1939, 2449, 2595, 3206, 5034).

Messages are removed by QUIT and by nothing else; a connection that ends otherwise leaves the
maildrop as it was. Octets go out exactly as they were deposited, dot-stuffed.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from syncd.sandbox.dialogue import Dialogue, House
from syncd.sandbox.logins import Attempt, check_apop, check_password
from syncd.sandbox.maildrops import Mail, Maildrop
from syncd.sandbox.steps import Close, Step, Steps, Upgrade
from syncd.sandbox.witness import Service

SLICE = 256 * 1024
"""Octets of a message that are handed to the connection at once."""


class Pop3Dialogue(Dialogue):
    """One POP3 session: from the greeting over the lock on a maildrop to UPDATE."""

    service = Service.POP3

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self._stamp = house.stamp()
        self._claimed = b""  # what USER said
        self._drop: Maildrop | None = None
        self._mails: list[Mail] = []  # the maildrop as it was at login
        self._doomed: set[int] = set()  # numbers marked by DELE
        self._before_login: dict[str, Callable[[bytes], Steps]] = {
            "USER": self._user_name,
            "PASS": self._password,
            "APOP": self._apop,
            "AUTH": self._auth,
            "STLS": self._stls,
        }
        self._after_login: dict[str, Callable[[bytes], Steps]] = {
            "STAT": self._stat,
            "LIST": partial(self._listing, lambda mail: str(len(mail.body))),
            "UIDL": partial(self._listing, lambda mail: mail.uid),
            "RETR": self._retr,
            "TOP": self._top,
            "DELE": self._dele,
            "NOOP": self._noop,
            "RSET": self._rset,
        }

    def secured(self) -> None:
        """Forget the name given before TLS."""
        super().secured()
        self._claimed = b""

    def lost(self) -> None:
        """Release the maildrop; what was marked stays (RFC 1939 section 6)."""
        if self._drop is not None and self._drop.holder is self:
            self._drop.holder = None

    # ------------------------------------------------------------ framing

    def _greeting(self) -> Steps:
        return (b"+OK sandbox ready " + self._stamp + b"\r\n",)

    def _error(self, why: str) -> bytes:
        return f"-ERR {why}\r\n".encode()

    def _challenge(self, text: bytes) -> bytes:
        return b"+ " + text + b"\r\n"

    def _command(self, verb: str, rest: bytes) -> Steps:
        if verb in {"QUIT", "CAPA"}:
            act = self._quit if verb == "QUIT" else self._capa
            return self._through(verb, (), act)
        commands = self._before_login if self._drop is None else self._after_login
        perform = commands.get(verb)
        if perform is None:
            wrong_state = verb in self._before_login or verb in self._after_login
            return (self._error("not now" if wrong_state else "unknown command"),)
        return self._through(verb, self._names(rest), partial(perform, rest))

    def _names(self, rest: bytes) -> tuple[str, ...]:
        """Return what a rule may call the message of a command: its number and its UIDL."""
        word = rest.split(b" ")[0].decode("latin-1")
        mail = self._find(rest)
        return (word.casefold(),) if mail is None else (word, mail[1].uid.casefold())

    # ------------------------------------------------------------ before login

    def _capa(self) -> Steps:
        lines = ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER"]
        if self._may_log_in():
            lines += ["USER", "SASL " + " ".join(self._house.mechanisms)]
        if self._house.offer_tls and not self._secure:
            lines.append("STLS")
        lines.append("IMPLEMENTATION syncd-sandbox")
        return (_multiline(lines),)

    def _may_log_in(self) -> bool:
        return self._secure or not self._house.offer_tls

    def _stls(self, _rest: bytes) -> Steps:
        if self._secure or not self._house.offer_tls:
            return (self._error("no STLS here"),)
        return (b"+OK begin TLS\r\n", Upgrade())

    def _user_name(self, rest: bytes) -> Steps:
        if not self._may_log_in():
            return (self._error("STLS first"),)
        self._claimed = rest
        self._user = rest.decode("utf-8", "replace")
        return (b"+OK\r\n",)

    def _password(self, rest: bytes) -> Steps:
        if not self._claimed:
            return (self._error("USER first"),)
        return self._finish_login(check_password(self._house.office, self._claimed, rest))

    def _apop(self, rest: bytes) -> Steps:
        if not self._may_log_in():
            return (self._error("STLS first"),)
        username, _, digest = rest.rpartition(b" ")
        return self._finish_login(check_apop(self._house.office, username, digest, self._stamp))

    def _auth(self, rest: bytes) -> Steps:
        if not rest:
            return (_multiline(self._house.mechanisms),)
        if not self._may_log_in():
            return (self._error("STLS first"),)
        return self._authenticate(rest)

    def _judge(self, attempt: Attempt) -> Steps:
        if attempt.drop is None:
            self._house.witness.refused(self.service, attempt.username)
            self._claimed = b""
            return (self._error("[AUTH] name or password is wrong"),)
        if attempt.drop.holder is not None:
            return (self._error("[IN-USE] maildrop is locked by another session"),)
        self._drop = attempt.drop
        self._drop.holder = self
        self._mails = self._drop.mails.copy()
        self._house.witness.logged_in(self.service, attempt.username)
        return (f"+OK {len(self._mails)} messages\r\n".encode(),)

    # ------------------------------------------------------------ transaction

    def _find(self, rest: bytes) -> tuple[int, Mail] | None:
        """Return number and message that an argument names, unless it is marked."""
        word = rest.split(b" ")[0]
        if not word.isdigit() or len(word) > 9:
            return None
        number = int(word)
        if not 1 <= number <= len(self._mails) or number in self._doomed:
            return None
        return number, self._mails[number - 1]

    def _left(self) -> Iterator[tuple[int, Mail]]:
        return (
            (number, mail)
            for number, mail in enumerate(self._mails, 1)
            if number not in self._doomed
        )

    def _stat(self, _rest: bytes) -> Steps:
        if not self._doomed and self._drop is not None and self._mails == self._drop.mails:
            return (f"+OK {len(self._mails)} {self._drop.octets}\r\n".encode(),)
        sizes = [len(mail.body) for _, mail in self._left()]
        return (f"+OK {len(sizes)} {sum(sizes)}\r\n".encode(),)

    def _listing(self, value: Callable[[Mail], str], rest: bytes) -> Steps:
        if rest:
            found = self._find(rest)
            if found is None:
                return self._no_such_message()
            return (f"+OK {found[0]} {value(found[1])}\r\n".encode("latin-1"),)
        return (_multiline(f"{number} {value(mail)}" for number, mail in self._left()),)

    def _retr(self, rest: bytes) -> Steps:
        found = self._find(rest)
        if found is None:
            return self._no_such_message()
        return self._hand_out(found[1])

    def _hand_out(self, mail: Mail) -> Iterator[Step]:
        head = f"+OK {len(mail.body)} octets\r\n".encode()
        stuffed = dot_stuffed(mail.body)
        if len(stuffed) <= SLICE:
            yield head + stuffed + b".\r\n"
        else:
            yield head
            for start in range(0, len(stuffed), SLICE):
                yield stuffed[start : start + SLICE]
            yield b".\r\n"
        if self._drop is not None:
            yield partial(self._house.witness.handed_out, self._drop.address, mail)

    def _top(self, rest: bytes) -> Steps:
        found = self._find(rest)
        count = rest.split(b" ")[-1]
        if found is None or not count.isdigit() or b" " not in rest:
            return self._no_such_message()
        return (b"+OK\r\n" + dot_stuffed(top(found[1].body, int(count))) + b".\r\n",)

    def _dele(self, rest: bytes) -> Steps:
        found = self._find(rest)
        if found is None:
            return self._no_such_message()
        self._doomed.add(found[0])
        return (b"+OK marked\r\n",)

    def _noop(self, _rest: bytes) -> Steps:
        return (b"+OK\r\n",)

    def _rset(self, _rest: bytes) -> Steps:
        self._doomed.clear()
        return (b"+OK\r\n",)

    def _no_such_message(self) -> Steps:
        return (self._error("no such message"),)

    def _quit(self) -> Steps:
        """Enter UPDATE: remove what is marked, release the lock, then answer."""
        drop = self._drop
        if drop is not None and self._doomed:
            gone = [self._mails[number - 1] for number in sorted(self._doomed)]
            drop.remove(gone)
            self._house.witness.deleted(drop.address, gone)
        self._doomed = set()
        self.lost()
        return (b"+OK bye\r\n", Close())


def _multiline(lines: Iterable[str]) -> bytes:
    return "\r\n".join(["+OK", *lines, ".", ""]).encode("latin-1")


def dot_stuffed(body: bytes) -> bytes:
    """Double the dot at the start of every line; a line ends with CRLF and nothing else."""
    stuffed = body.replace(b"\r\n.", b"\r\n..") if b"\r\n." in body else body
    return b"." + stuffed if stuffed.startswith(b".") else stuffed


def top(body: bytes, lines: int) -> bytes:
    """Return the header section, the blank line and so many lines of the body."""
    end = body.find(b"\r\n\r\n")
    if end < 0:
        return body
    end += 4
    for _ in range(lines):
        line_end = body.find(b"\r\n", end)
        if line_end < 0:
            return body
        end = line_end + 2
    return body[:end]
