r"""Runs every dialogue of tests/protocols/pop3, the server's bytes whole and one by one.

A dialogue is what is said on the wire, in order, and what becomes of it:

    with allow_plaintext=yes        how the client is set up; see `_Setting`
    S: +OK ready                    the server says a line (`S|`: escaped, without CRLF added)
    C: USER ada                     the client says a line
    S! close                        the server closes (`hang`: says nothing more)
    do glance 3                     what the client is told to do once it is in
    => count 3, 320 octets, uid x   what came of it; the first one without a `do` is the login's
    only whole                      where it matters that bytes come together

Nobody has to write `=>` for a login that succeeds.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from syncd.clock import SystemClock
from syncd.connections.budget import ByteBudget
from syncd.connections.pop3 import CapabilityMemory, Pop3Source, SourceLimits, open_pop3
from syncd.connections.seams import Fetched, Head, UnlockedLogin
from syncd.errors import CommandRefused, LoginRefused, ServerError, SyncdError
from syncd.model.mail import Listed
from syncd.model.profile import Authentication, Endpoint, MailProtocol, Security
from syncd.model.secret import Secret
from tests.support.scripted import HOST, dialogues, read_script, scripted

FOLDER = Path(__file__).with_name("pop3")


@dataclass(slots=True)
class _Setting:
    """What `with` may set."""

    security: str = "none"
    authentication: str = "user-pass"
    allow_plaintext: str = "yes"
    username: str = "ada"
    password: str = "secret"
    authorize_as: str | None = None
    max_message: str = "1000000"


@dataclass(slots=True)
class _Dialogue:
    """A dialogue file, taken apart."""

    setting: _Setting = field(default_factory=_Setting)
    wire: list[str] = field(default_factory=list)
    login: str | None = None
    tasks: list[tuple[str, list[str]]] = field(default_factory=list)
    only_whole: bool = False


def _read(path: Path) -> _Dialogue:
    dialogue = _Dialogue()
    for line in path.read_text("utf-8").splitlines():
        word, _, rest = line.partition(" ")
        match word:
            case "" | "#":
                pass
            case "with":
                key, _, value = rest.partition("=")
                setattr(dialogue.setting, key, value.replace(r"\r\n", "\r\n"))
            case "only":
                dialogue.only_whole = True
            case "do":
                dialogue.tasks.append((rest, []))
            case "=>" if dialogue.tasks:
                dialogue.tasks[-1][1].append(rest)
            case "=>":
                dialogue.login = rest
            case _:
                dialogue.wire.append(line)
    return dialogue


DIALOGUES = {path.stem: _read(path) for path in dialogues(FOLDER)}
RUNS = [(name, False) for name in DIALOGUES]
RUNS += [(name, True) for name, dialogue in DIALOGUES.items() if not dialogue.only_whole]


@pytest.mark.parametrize(("name", "byte_by_byte"), RUNS)
async def test_a_dialogue_goes_as_it_is_written(name: str, byte_by_byte: bool) -> None:
    dialogue = DIALOGUES[name]
    async with scripted(read_script(dialogue.wire), byte_by_byte=byte_by_byte) as server:
        source = await _open(dialogue.setting, server.port)
        if not isinstance(source, Pop3Source):
            assert source == dialogue.login
            return
        assert dialogue.login is None
        try:
            for task, expected in dialogue.tasks:
                assert await _do(source, task) == expected, task
        finally:
            source.abort()


async def _open(setting: _Setting, port: int) -> Pop3Source | str:
    """Log in; return the source, or the error in words."""
    endpoint = Endpoint(
        protocol=MailProtocol.POP3,
        server=HOST,
        port=port,
        security=Security(setting.security),
        authentication=Authentication(setting.authentication),
        allow_plaintext_login=setting.allow_plaintext == "yes",
    )
    login = UnlockedLogin(
        username=setting.username,
        password=Secret(setting.password),
        authorize_as=setting.authorize_as,
    )
    limits = SourceLimits(
        max_message_size=int(setting.max_message), command_timeout=timedelta(seconds=5)
    )
    budget, memory = ByteBudget(2**28), CapabilityMemory(SystemClock())
    try:
        return await open_pop3(endpoint, login, limits=limits, budget=budget, memory=memory)
    except SyncdError as error:
        return _shown_error(error)


async def _do(source: Pop3Source, task: str) -> list[str]:
    """Do one thing and say in words what came of it."""
    verb, *words = task.split()
    numbers = [int(word) for word in words]
    try:
        match verb:
            case "glance":
                seen = await source.glance(numbers[0] if numbers else None)
                status = f"count {seen.status.count}, {seen.status.octets} octets"
                return [status if seen.uid is None else f"{status}, uid {seen.uid}"]
            case "list":
                listed = (
                    await source.list_range(*numbers) if numbers else await source.list_all()
                )
                unknown = [] if source.can_list_uids else ["no UIDL here"]
                return unknown + [f"{m.number}: {m.uid!r}, {m.octets} octets" for m in listed]
            case "fetch":
                return await _told(source.fetch([Listed(n, "", 100) for n in numbers]))
            case "heads":
                return await _told(source.heads([Listed(n, "", 100) for n in numbers]))
            case "delete":
                refused = await source.delete([Listed(n, "", 100) for n in numbers])
                return [f"refused {m.number}" for m in refused]
            case "quit":
                return ["the server said goodbye" if await source.quit() else "no goodbye"]
            case _:
                raise ValueError(task)
    except ServerError as error:
        return [_shown_error(error)]


async def _told(batches: AsyncIterator[list[Fetched]] | AsyncIterator[list[Head]]) -> list[str]:
    told: list[str] = []
    try:
        async for batch in batches:
            told += [f"{item.listed.number}: {await _content(item)}" for item in batch]
    except ServerError as error:
        told.append(_shown_error(error))
    return told


async def _content(item: Fetched | Head) -> str:
    match item:
        case (
            Fetched(refusal=CommandRefused() as refusal)
            | Head(refusal=CommandRefused() as refusal)
        ):
            return _shown_error(refusal)
        case Head(header=header):
            return repr(header)
        case Fetched(chunks=None, body=body):
            return repr(body)
        case Fetched(chunks=chunks):
            assert chunks is not None
            body = b"".join([chunk async for chunk in chunks])
            return f"in chunks, {len(body)} octets"


def _shown_error(error: SyncdError) -> str:
    shown = f"{type(error).__name__}: {re.sub(r'^127[^ ]*: ', '', str(error))}"
    code = error.response_code if isinstance(error, CommandRefused | LoginRefused) else None
    return f"{shown} ({code})" if code else shown
