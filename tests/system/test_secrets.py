"""No output, log or store holds a secret: twenty of them are set out and looked for (row 67).

They are written in every way the configuration knows, given to servers that take them, refuse
them, repeat them, or cannot do TLS, and then everything that every command says is searched.
User names are no secrets.
"""

import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from syncd.sandbox.misbehaviour import Instead, Misbehaviour
from syncd.sandbox.witness import Service
from tests.support.markers import find_markers
from tests.support.process import Ended, all_of, daemon_running, syncd, until
from tests.support.world import ELSEWHERE, World, a_letter, a_reply, empty_world

pytestmark = pytest.mark.timeout(300)  # on a busy machine; every wait has its own end

IN_YAML = (
    "Mk01-plain-9f3a",
    "Mk02 with  spaces x",
    'Mk03"double"quotes',
    "Mk04'single'quotes",
    "Mk05\\back\\slashes\\n",
    "Mk06-üñïçødé-π-𝄞",
    "Mk07%41%20and+plus&more=x",
    "TWswOC1sb29rcy1saWtlLWJhc2U2NA==",
    "Mk09{json: [1, 2]}",
    "Mk10<b>html</b>&amp;",
    "Mk11$SHELL`id`$(id)",
    "Mk12\twith\ttabs",
)
IN_FILE, IN_ENVIRONMENT, IN_CREDENTIAL = "Mk13-in-a-file", "Mk14 in 'env'", "Mk15-credential"
OF_PROFILE, OF_PROFILE_OUTGOING = "Mk16-of-the-profile", "Mk17-of-its-outgoing"
SEALED = ("Mk18-sealed-once", 'Mk19 "sealed" ünd π')
TYPED = "Mk20-given-to-secret-encrypt"
MISPLACED = ("Mk21-under-a-wrong-key", "Mk22-in-a-wrong-list")
MARKERS = (
    *IN_YAML,
    *(IN_FILE, IN_ENVIRONMENT, IN_CREDENTIAL, OF_PROFILE, OF_PROFILE_OUTGOING),
    *(*SEALED, TYPED, *MISPLACED),
)
REFUSED = IN_YAML[1::2]
"""Passwords that the server does not take."""
BOB = f"bob@{ELSEWHERE}"


@dataclass(slots=True)
class Stage:
    """A world full of secrets, and everything that was said in it."""

    world: World
    env: dict[str, str]
    keys: list[str] = field(default_factory=list)
    heaps: dict[str, bytes] = field(default_factory=dict)

    @property
    def addresses(self) -> list[str]:
        """Every mailbox."""
        return [mailbox["address"] for mailbox in self.world.settings["mailboxes"]]

    async def say(self, *words: str, stdin: bytes = b"") -> Ended:
        """Run a command and keep what it says."""
        ended = await syncd(*words, config=self.world.config, env=self.env, stdin=stdin)
        self.keep(" ".join(words), ended.out, ended.err)
        return ended

    async def say_all(self, commands: Sequence[Sequence[str]]) -> None:
        """Run commands side by side, each as it is and with --json."""
        both = [(*words, *more) for words in commands for more in ((), ("--json",))]
        await all_of(*(partial(self.say, *words) for words in both))

    def keep(self, name: str, *said: str) -> None:
        """Keep what was said."""
        self.heaps[f"{len(self.heaps)} {name}"] = "".join(said).encode()


@asynccontextmanager
async def full_of_secrets(folder: Path) -> AsyncIterator[Stage]:
    """Set out every secret; half the servers' doors stay closed."""
    credentials = folder / "credentials"
    credentials.mkdir()
    async with empty_world(folder / "world") as world:
        stage = Stage(
            world, {"PASSWORD": IN_ENVIRONMENT, "CREDENTIALS_DIRECTORY": str(credentials)}
        )
        world.settings["log"] = {"level": "debug"}
        world.profile["incoming"]["authentication"] = "user-pass"
        world.profile["outgoing"]["authentication"] = "plain"
        for n, password in enumerate(IN_YAML):
            world.open(f"user{n}@sandbox.example", password)
        for n, (where, password) in enumerate(_elsewhere(folder, credentials)):
            world.open(f"elsewhere{n}@sandbox.example", password)
            world.settings["mailboxes"][-1]["credentials"]["password"] = where
        _share_a_login(world)
        _speak_tls_in_vain(world)
        await _seal(stage, folder)
        world.write()
        _shut_doors(world)
        yield stage


def _elsewhere(folder: Path, credentials: Path) -> list[tuple[dict[str, str], str]]:
    file = private(folder / "password", IN_FILE)
    private(credentials / "pop3", IN_CREDENTIAL)
    return [
        ({"file": str(file)}, IN_FILE),
        ({"env": "PASSWORD"}, IN_ENVIRONMENT),
        ({"credential": "pop3"}, IN_CREDENTIAL),
    ]


def private(path: Path, text: str) -> Path:
    """Write a file that only we can read."""
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def _share_a_login(world: World) -> None:
    """Let two mailboxes share the login of their profile."""
    shared = {
        **world.profile,
        "name": "shared",
        "default": False,
        "credentials": {
            "source": "profile",
            "username": "master",
            "password": OF_PROFILE,
            "impersonation": "{address}*{username}",
            "outgoing": {
                "source": "profile",
                "username": "sender",
                "password": OF_PROFILE_OUTGOING,
            },
        },
    }
    world.settings["profiles"].append(shared)
    for address in ("shared1@sandbox.example", "shared2@sandbox.example"):
        world.sandbox.open(address, OF_PROFILE, f"{address}*master")
        world.settings["mailboxes"].append({"address": address, "profile": "shared"})
    world.sandbox.open("sender@sandbox.example", OF_PROFILE_OUTGOING, "sender")


def _speak_tls_in_vain(world: World) -> None:
    """Let some mailboxes meet servers that cannot do TLS."""
    for security in ("tls", "starttls"):
        sides = {
            which: {**world.profile[which], "security": security}
            for which in ("incoming", "outgoing")
        }
        profile = {**world.profile, **sides, "name": security, "default": False}
        world.settings["profiles"].append(profile)
        login = {"username": security, "password": IN_YAML[0]}
        address = f"{security}@sandbox.example"
        world.settings["mailboxes"].append(
            {"address": address, "profile": security, "credentials": login}
        )


async def _seal(stage: Stage, folder: Path) -> None:
    """Make two keys, and seal passwords with the first."""
    world = stage.world
    made = [(await syncd("secret", "new-key")).out.strip() for _ in range(2)]
    stage.keys = [line.partition(":")[2] for line in made]
    files = [private(folder / f"key{n}", line) for n, line in enumerate(made)]
    world.settings["encryption"] = {"keys": [{"file": str(file)} for file in files]}
    for n, password in enumerate(SEALED):
        world.open(f"sealed{n}@sandbox.example", password)
    world.write()
    for mailbox, password in zip(world.settings["mailboxes"][-2:], SEALED, strict=True):
        command = ("secret", "encrypt", "--json", "--for", mailbox["address"])
        ended = await stage.say(*command, stdin=password.encode())
        assert ended.status == 0, ended.err
        mailbox["credentials"]["password"] = ended.json


def _shut_doors(world: World) -> None:
    """Let servers refuse some passwords, and some repeat what they were told."""
    for mailbox in world.settings["mailboxes"]:
        address = mailbox["address"]
        drop = world.sandbox.office.at(address)
        password = mailbox.get("credentials", {}).get("password")
        if drop is not None and password in REFUSED:
            drop.password = "another"
            plain = base64.b64encode(f"\0{address}\0{password}".encode()).decode()
            for service, no in ((Service.POP3, "-ERR"), (Service.SMTP, "535 5.7.8")):
                said = f"{no} {address}: {password} ({plain}) is wrong"
                refusal = Misbehaviour(
                    on="LOGIN", service=service, user=address, act=Instead(said)
                )
                world.sandbox.misbehave(refusal)


async def test_row_67_twenty_secrets_are_nowhere_to_be_found(tmp_path: Path) -> None:
    async with full_of_secrets(tmp_path) as stage:
        world = stage.world
        await stage.say_all([("config", "check"), ("config", "show"), ("once",)])
        await stage.say("secret", "encrypt", "--for", "shared", stdin=TYPED.encode())
        await _work(stage)
        for command in (("status",), ("mailbox", "list"), ("queue", "show", "2")):
            await stage.say(*command, "--json")  # of the store itself: no daemon runs
        await _fail(stage)
        for file in world.folder.iterdir():
            if file.is_file() and file != world.config:
                stage.heaps[file.name] = file.read_bytes()
        assert find_markers([*MARKERS, *stage.keys], stage.heaps) == []
        assert len(MARKERS) >= 20
        assert world.sandbox.journal.logins.total() > len(MARKERS)


LOOKING = (
    ("status",),
    ("mailbox", "list"),
    ("mailbox", "show", "starttls@sandbox.example"),
    ("queue", "list"),
    ("queue", "show", "2"),
    ("message", "list"),
)


async def _work(stage: Stage) -> None:
    """Let a daemon poll and send for everybody; keep its log, and how it looks in `ps`."""
    world = stage.world
    async with daemon_running(world.config, stage.env) as daemon:
        for address in stage.addresses:
            if world.sandbox.office.at(address) is not None:
                world.receive(address, a_letter(address))
            reply = a_reply(address, BOB)
            path, kind = (
                f"/api/v1/mailboxes/{address}/outgoing",
                {"content-type": "message/rfc822"},
            )
            answer = await daemon.ask("POST", path, reply.octets, kind)
            stage.keep("submit", str(answer))
            stage.keep("poll", str(await daemon.poll(address)))
        await stage.say_all([*LOOKING, ("mailbox", "poll", *stage.addresses)])
        await until(lambda: _tried_to_send(world) == len(stage.addresses))
        stage.heaps["cmdline"] = Path(f"/proc/{daemon.process.pid}/cmdline").read_bytes()
        assert await daemon.stopped() == 0
    stage.keep("log", *daemon.lines)


def _tried_to_send(world: World) -> int:
    ((mailboxes,),) = world.store.ask(
        "SELECT count(*) FROM direction WHERE direction = 'outgoing' "
        "AND (last_success_at IS NOT NULL OR last_error IS NOT NULL)"
    )
    return int(mailboxes)


async def _fail(stage: Stage) -> None:
    """Go wrong in ways that print tracebacks and quote the configuration."""
    world = stage.world
    stage.env["SYNCD_TEST_UNKNOWN_WAIT"] = "nonsense"
    for command in ("run", "once"):
        ended = await stage.say(command)
        assert "Traceback" in ended.err
    mailboxes = world.settings["mailboxes"]
    mailboxes[0]["credentials"]["pasword"] = MISPLACED[0]
    mailboxes[1]["credentials"]["password"] = [MISPLACED[1]]
    mailboxes.append(mailboxes[2])
    world.write()
    await stage.say_all([("config", "check"), ("config", "show")])
    assert (await stage.say("run")).status == 78
