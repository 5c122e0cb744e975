"""The sandbox by itself: `syncd sandbox`, a mail server to try things against.

It has a few mailboxes (mail sent from one lands in the other), says what happens, and ends on
SIGINT or SIGTERM.
"""

import asyncio
import json
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from syncd.errors import Refused
from syncd.sandbox.maildrops import Mail
from syncd.sandbox.script import read_script
from syncd.sandbox.server import Sandbox, Security, Settings, server_context
from syncd.sandbox.witness import Accepted, Service, Unwatched

PASSWORD = "sandbox"
DOMAIN = "sandbox.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What `syncd sandbox` was asked for on its command line."""

    settings: Settings
    mailboxes: int = 3
    certificate: Path | None = None
    key: Path | None = None
    script: Path | None = None
    json: bool = False


class Announcer(Unwatched):
    """A witness who says aloud what happens, one line each."""

    def __init__(self, say: Callable[[str], None], *, as_json: bool) -> None:
        self._say = say
        self._as_json = as_json

    def announce(self, what: str, **facts: object) -> None:
        """Say one thing."""
        if self._as_json:
            self._say(json.dumps({"event": what, **facts}))
        else:
            told = " ".join(f"{name}={value}" for name, value in facts.items())
            self._say(f"{what:<12} {told}")

    def deposited(self, address: str, mail: Mail) -> None:
        """Say that a message came into a maildrop."""
        self.announce("deposited", address=address, uid=mail.uid, octets=len(mail.body))

    def handed_out(self, address: str, mail: Mail) -> None:
        """Say that a message was read to its end."""
        self.announce("handed out", address=address, uid=mail.uid)

    def deleted(self, address: str, mails: Sequence[Mail]) -> None:
        """Say what QUIT removed."""
        for mail in mails:
            self.announce("deleted", address=address, uid=mail.uid)

    def accepted(self, message: Accepted) -> None:
        """Say that a message was taken over."""
        self.announce(
            "accepted",
            sender=message.sender,
            recipients=",".join(message.recipients),
            octets=len(message.body),
        )

    def logged_in(self, service: Service, username: str) -> None:
        """Say who logged in."""
        self.announce("logged in", service=service, username=username)

    def refused(self, service: Service, username: str) -> None:
        """Say whose login was refused."""
        self.announce("refused", service=service, username=username)


async def serve(wishes: Wishes, announcer: Announcer) -> Sandbox:
    """Start a sandbox with mailboxes box1, box2 …; the caller closes it.

    Raises Refused for a script that makes no sense, a file that cannot be read, a port that
    is taken.
    """
    settings = _with_certificate(wishes)
    sandbox = Sandbox(settings, witness=announcer)
    for n in range(1, wishes.mailboxes + 1):
        sandbox.open(f"box{n}@{DOMAIN}", PASSWORD)
    if wishes.script is not None:
        sandbox.misbehave(*read_script(_read(wishes.script)))
    try:
        await sandbox.start()
    except OSError as exc:
        await sandbox.close()
        raise Refused("port", str(exc)) from exc
    announcer.announce(
        "listening",
        host=sandbox.host,
        pop3=sandbox.pop3_port,
        smtp=sandbox.smtp_port,
        security=settings.security.value,
    )
    for drop in sandbox.office:
        announcer.announce("mailbox", username=drop.username, password=drop.password)
    return sandbox


def _with_certificate(wishes: Wishes) -> Settings:
    """With a certificate the sandbox speaks TLS, by STLS and STARTTLS unless told otherwise."""
    settings, certificate = wishes.settings, wishes.certificate
    if certificate is None:
        return settings
    try:
        context = server_context(str(certificate), str(wishes.key or certificate))
    except OSError as exc:  # ssl.SSLError is one
        raise Refused("certificate", f"{certificate}: {exc}") from exc
    secure = Security.STARTTLS if settings.security is Security.NONE else settings.security
    return replace(settings, tls=context, security=secure)


def _read(script: Path) -> str:
    try:
        return script.read_text()
    except (OSError, UnicodeDecodeError) as exc:
        raise Refused("script", f"{script}: {exc}") from exc


async def serve_until_told(wishes: Wishes, say: Callable[[str], None]) -> int:
    """Run the sandbox until SIGINT or SIGTERM; return the exit status."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    sandbox = await serve(wishes, Announcer(say, as_json=wishes.json))
    try:
        await told.wait()
    finally:
        await sandbox.close()
    return 0


def run_sandbox(wishes: Wishes, say: Callable[[str], None]) -> int:
    """Run the sandbox as a program; `say` prints one line."""
    return asyncio.run(serve_until_told(wishes, say))
