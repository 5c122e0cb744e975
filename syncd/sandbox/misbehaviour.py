"""Scripted misbehaviour as data: which command of whom goes wrong, and how.

Rule 1: a rule is a frozen value; how often it has fired is kept by `Rules`.
Rule 2: the first rule that matches and is not used up decides; the others wait their turn.
Commands are named by their verb in upper case. Besides those of the protocols there are
CONNECT (the greeting), TLS (the handshake), LOGIN (a complete login by whatever mechanism,
the only one that knows its user in time), BODY (octets of a message on their way in) and DOT
(the end of a message sent by SMTP).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import assert_never

from syncd.sandbox.steps import Close, Step, Steps, Upgrade, Wait
from syncd.sandbox.witness import Service


@dataclass(frozen=True, slots=True)
class Drop:
    """End the connection in place of carrying the command out.

    On BODY, `after` is how many octets of the message are read first.
    """

    after: int = 0
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Cut:
    """Carry the command out, send the first `after` octets of the answer, end the connection.

    `Cut(0)` on DOT is the lost answer: accepted, and the client never learns it.
    """

    after: int = 0


@dataclass(frozen=True, slots=True)
class Instead:
    """Say this and carry nothing out: an error, a lie, or nonsense.

    A text gets its CRLF; bytes go out as they are. `+OK` to DELE is a DELE ignored.
    """

    words: str | bytes
    close: bool = False


@dataclass(frozen=True, slots=True)
class Delay:
    """Carry the command out, answer after so many seconds (`math.inf`: never)."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Drip:
    """Carry the command out, answer so many octets at a time with a pause after each."""

    octets: int = 1
    every: float = 1.0


@dataclass(frozen=True, slots=True)
class Inject:
    """Carry the command out and let these octets follow the answer in the same segment.

    On STLS and STARTTLS they arrive before the handshake: response injection (faults 49).
    """

    raw: bytes


@dataclass(frozen=True, slots=True)
class Flood:
    """Say `head`, then `line` so many times (None: as long as the client listens)."""

    head: bytes = b"+OK\r\n"
    line: bytes = b"x" * 1024
    times: int | None = None


@dataclass(frozen=True, slots=True)
class ListAs:
    """Rewrite each "number value" of STAT, LIST or UIDL: `{number} 0` lies about sizes."""

    line: str


@dataclass(frozen=True, slots=True)
class Hide:
    """Leave capabilities out of CAPA or EHLO, by their first words."""

    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class TooMany:
    """Say this and end the connection while more than `limit` are open at this server."""

    limit: int
    words: str


Act = Drop | Cut | Instead | Delay | Drip | Inject | Flood | ListAs | Hide | TooMany


@dataclass(frozen=True, slots=True, kw_only=True)
class Misbehaviour:
    """One rule: when it applies, and what then happens.

    `user` is a login name; a rule with a user applies only once the client has named itself.
    `argument` is a message's number or UIDL, or an address of MAIL and RCPT, without case.
    The first `skip` matches pass, the next `times` misbehave (None: all of them);
    with `each` they are counted for every argument apart (a greylist).
    """

    on: str
    act: Act
    service: Service | None = None
    user: str | None = None
    argument: str | None = None
    skip: int = 0
    times: int | None = None
    each: bool = False

    def concerns(
        self, service: Service, user: str, verb: str, arguments: Sequence[str]
    ) -> bool:
        """Tell whether this rule speaks of a command, used up or not."""
        return (
            self.on == verb
            and self.service in (None, service)
            and self.user in (None, user)
            and (self.argument is None or self.argument.casefold() in arguments)
        )


class Rules:
    """The misbehaviour in force, and how often each rule has been met."""

    def __init__(self) -> None:
        self._rules: list[Misbehaviour] = []
        self._met: Counter[tuple[int, str]] = Counter()

    def add(self, rule: Misbehaviour) -> None:
        """Put a rule in force, after those that are."""
        self._rules.append(rule)

    def forget(self) -> None:
        """Behave again."""
        self._rules.clear()
        self._met.clear()

    def __bool__(self) -> bool:
        return bool(self._rules)

    def find(
        self, service: Service, user: str, verb: str, arguments: Sequence[str], open_now: int
    ) -> Act | None:
        """Return what goes wrong with this command, and count that it was met."""
        for n, rule in enumerate(self._rules):
            if not rule.concerns(service, user, verb, arguments):
                continue
            if isinstance(rule.act, TooMany) and open_now <= rule.act.limit:
                continue
            key = (n, arguments[0] if rule.each and arguments else "")
            self._met[key] += 1
            met = self._met[key] - rule.skip
            if met > 0 and (rule.times is None or met <= rule.times):
                return rule.act
        return None


def misbehave(act: Act, perform: Callable[[], Steps]) -> Steps:
    """Return the steps of a command that goes wrong; `perform` carries it out."""
    match act:
        case Drop():
            return (Close(reset=act.reset),)
        case Cut():
            return _cut(perform(), act.after)
        case Instead():
            said = _as_bytes(act.words)
            return (said, Close()) if act.close else (said,)
        case Delay():
            # What the command does is done first: only its answer is late.
            return (Wait(act.seconds), *perform())
        case Drip():
            return _drip(perform(), act)
        case Inject():
            return _inject(perform(), act.raw)
        case Flood():
            return _flood(act)
        case ListAs():
            return _relist(perform(), act.line)
        case Hide():
            return _hide(perform(), act.names)
        case TooMany():
            return (_as_bytes(act.words), Close())
        case _:
            assert_never(act)


def _as_bytes(words: str | bytes) -> bytes:
    return words if isinstance(words, bytes) else words.encode() + b"\r\n"


def _cut(steps: Steps, after: int) -> Iterator[Step]:
    left = after
    for step in steps:
        if isinstance(step, bytes):
            if left < len(step):
                yield step[:left]
                break
            left -= len(step)
        yield step
    yield Close()


def _drip(steps: Steps, act: Drip) -> Iterator[Step]:
    for step in steps:
        if not isinstance(step, bytes):
            yield step
            continue
        for start in range(0, len(step), act.octets):
            yield step[start : start + act.octets]
            yield Wait(act.every)


def _inject(steps: Steps, raw: bytes) -> Iterator[Step]:
    injected = False
    for step in steps:
        if isinstance(step, Upgrade) and not injected:
            yield raw
            injected = True
        yield step
    if not injected:
        yield raw


def _flood(act: Flood) -> Iterator[Step]:
    yield act.head
    # Several lines a step, or a flood of short lines would be all overhead.
    at_once = max(1, 16_384 // max(1, len(act.line)))
    left = act.times
    while left is None or left > 0:
        n = at_once if left is None else min(at_once, left)
        yield act.line * n
        left = None if left is None else left - n


def _relist(steps: Steps, template: str) -> Iterator[Step]:
    for step in steps:
        if not isinstance(step, bytes):
            yield step
            continue
        lines = step.split(b"\r\n")
        yield b"\r\n".join(_relisted(line, template) for line in lines)


def _relisted(line: bytes, template: str) -> bytes:
    """Rewrite `7 120`, `+OK 7 120`; leave every other line alone."""
    status = b"+OK " if line.startswith(b"+OK ") else b""
    words = line.removeprefix(status).split(b" ")
    if len(words) != 2 or not words[0].isdigit():
        return line
    number, value = (word.decode("latin-1") for word in words)
    return status + template.format(number=number, value=value).encode("latin-1")


def _hide(steps: Steps, names: frozenset[str]) -> Iterator[Step]:
    for step in steps:
        yield _without(step, names) if isinstance(step, bytes) else step


def _without(reply: bytes, names: frozenset[str]) -> bytes:
    hidden = {name.encode().upper() for name in names}
    lines = reply.removesuffix(b"\r\n").split(b"\r\n")
    smtp = lines[0][:3].isdigit()
    first_word = 4 if smtp else 0
    kept = [lines[0]]
    kept += [
        line for line in lines[1:] if line[first_word:].split(b" ")[0].upper() not in hidden
    ]
    if smtp:  # the last line of a reply is told by its blank (RFC 5321 4.2.1)
        kept = [line[:3] + b"-" + line[4:] for line in kept[:-1]] + [
            kept[-1][:3] + b" " + kept[-1][4:]
        ]
    return b"\r\n".join(kept) + b"\r\n"
