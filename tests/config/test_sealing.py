"""`syncd secret encrypt` needs what the sealed text depends on, and nothing else."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from syncd.config.load import load_settings
from syncd.config.resolve import resolve
from syncd.model.mailbox import Direction
from syncd.vault.keys import make_ring, new_key_line, parse_key_line
from syncd.vault.logins import unlock_mailbox
from tests.support.configuration import KEY_LINE, MAILBOX, PROFILE, written

KEY = "encryption: {keys: [{file: syncd.key}]}\n"
WITHOUT_PASSWORD = MAILBOX.replace(", password: geheim", "")
OF_PROFILE = "    credentials: {source: profile, username: syncd}\n"


def _seal(
    main: Path, name: str, *options: str, secret: str = "geheim\n"
) -> subprocess.CompletedProcess[str]:
    command = ["secret", "encrypt", "--for", name, "--config", main.name, *options]
    return subprocess.run(
        [sys.executable, "-m", "syncd", *command],
        cwd=main.parent,
        env={"PYTHONPATH": ":".join(sys.path)},
        input=secret,
        capture_output=True,
        text=True,
        check=False,
    )


def _written(folder: Path, text: str) -> Path:
    written(folder, f"{KEY_LINE}\n", "syncd.key")
    return written(folder, text)


def _password(folder: Path, text: str, direction: Direction) -> str:
    """Open the password of the only mailbox as the daemon does."""
    (mailbox,) = resolve(load_settings(_written(folder, text), environ={})).mailboxes
    return unlock_mailbox(make_ring([KEY_LINE]), mailbox, direction).password.reveal()


@pytest.mark.parametrize(
    "mailbox",
    [
        WITHOUT_PASSWORD,
        MAILBOX.replace("geheim", ""),
        MAILBOX.replace("geheim", '""'),
        MAILBOX.replace("geheim", '{encrypted: ""}'),
        MAILBOX.replace("geheim", "{file: not.there}"),
        "mailboxes:\n  - {address: ann@contoso.com}\n",
    ],
)
def test_a_password_is_sealed_before_there_is_one(tmp_path: Path, mailbox: str) -> None:
    sealed = _seal(_written(tmp_path, KEY + PROFILE + mailbox), "ANN@contoso.com")
    assert (sealed.returncode, sealed.stderr) == (0, "write this in place of the secret:\n")
    text = KEY + PROFILE + MAILBOX.replace("geheim", sealed.stdout.strip())
    assert _password(tmp_path, text, Direction.INCOMING) == "geheim"
    assert _password(tmp_path, text, Direction.OUTGOING) == "geheim"


def test_a_profiles_password_is_sealed_before_there_is_one(tmp_path: Path) -> None:
    mailbox = "mailboxes: [{address: ann@contoso.com}]\n"
    sealed = _seal(_written(tmp_path, KEY + PROFILE + OF_PROFILE + mailbox), "contoso")
    assert (sealed.returncode, sealed.stderr) == (0, "write this in place of the secret:\n")
    filled = OF_PROFILE.replace("syncd", f"syncd, password: {sealed.stdout.strip()}")
    text = KEY + PROFILE + filled + mailbox
    assert _password(tmp_path, text, Direction.OUTGOING) == "geheim"


def test_problems_elsewhere_are_remarked_and_stop_nothing(tmp_path: Path) -> None:
    other = "  - {address: ben@contoso.com, typ: user, credentials: {password: 7}}\n"
    text = "log: {level: loud}\n" + KEY + PROFILE + "    retry: {first: 7}\n" + WITHOUT_PASSWORD
    sealed = _seal(_written(tmp_path, text + other), "ann@contoso.com")
    assert sealed.returncode == 0
    assert sealed.stdout.startswith('{encrypted: "v1:')
    assert [line.split(": ")[1] for line in sealed.stderr.splitlines()[:-1]] == [
        "log.level",
        "profiles[contoso].retry.first",
        "mailboxes[ben@contoso.com].typ",
        "mailboxes[ben@contoso.com].credentials.password",
    ]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("server: smtp.contoso.com", "server: smtp contoso"),
        ("server: pop3.contoso.com", "sever: pop3.contoso.com"),
        ("outgoing: {", "outgong: {"),
        ("default: true", "default: yes"),
        ("default: true", "credentials: {source: profil}"),
        ("default: true", "credentials: {sorce: profile}"),
        ("- address: ann", "- profile: contosso\n    address: ann"),
        ("- address: ann", "- profle: contoso\n    address: ann"),
        ("syncd.key", "not.there"),
        ("keys:", "kes:"),
        ("mailboxes:\n", "mailboxes:\n  - {address: ann@contoso.com}\n"),
    ],
)
def test_what_the_sealed_text_depends_on_must_be_right(
    tmp_path: Path, right: str, wrong: str
) -> None:
    text = KEY + PROFILE + WITHOUT_PASSWORD
    assert right in text
    sealed = _seal(_written(tmp_path, text.replace(right, wrong)), "ann@contoso.com")
    assert (sealed.returncode, sealed.stdout) == (78, "")
    assert "syncd.yaml:" in sealed.stderr


@pytest.mark.parametrize(
    ("text", "name", "options", "sentence"),
    [
        (
            PROFILE + WITHOUT_PASSWORD,
            "contoso",
            (),
            (
                "--for: profile contoso holds no login here (source: mailbox): each of its mailboxes"
                " has its own; use --for ADDRESS"
            ),
        ),
        (
            PROFILE + OF_PROFILE,
            "contoso",
            ("--outgoing",),
            "--outgoing: profile contoso has no separate outgoing credentials",
        ),
        (
            PROFILE + OF_PROFILE + "mailboxes: [{address: ann@contoso.com}]\n",
            "ann@contoso.com",
            (),
            "--for: ann@contoso.com has no credentials of its own: profile contoso holds them",
        ),
        (PROFILE, "ben", (), "--for: ben is no mailbox and no profile of the configuration"),
        (
            PROFILE + WITHOUT_PASSWORD,
            "ann@contoso.com",
            ("--key-file", "not.there"),
            "--key-file: not.there cannot be read: No such file or directory",
        ),
        (
            PROFILE + WITHOUT_PASSWORD,
            "ann@contoso.com",
            ("--key-file", "syncd.yaml"),
            "this is no syncd key",
        ),
    ],
)
def test_what_cannot_be_sealed_is_said_in_one_line(
    tmp_path: Path, text: str, name: str, options: tuple[str, ...], sentence: str
) -> None:
    sealed = _seal(_written(tmp_path, KEY + text), name, *options)
    assert (sealed.returncode, sealed.stdout) == (1, "")
    *remarks, line = sealed.stderr.splitlines()
    assert re.sub("^syncd: ", "", line).startswith(sentence)
    assert all(remark.startswith("syncd.yaml:") for remark in remarks)
    assert "geheim" not in sealed.stderr


def test_a_key_that_only_the_daemon_can_read_is_given_as_a_file(tmp_path: Path) -> None:
    text = KEY.replace("file: syncd.key", "credential: key") + PROFILE + WITHOUT_PASSWORD
    main = _written(tmp_path, text)
    refused = _seal(main, "ann@contoso.com")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "{credential: key}: systemd gives it to the service only" in refused.stderr
    sealed = _seal(main, "ann@contoso.com", "--key-file", "syncd.key")
    assert sealed.returncode == 0


def test_nothing_is_not_sealed(tmp_path: Path) -> None:
    sealed = _seal(
        _written(tmp_path, KEY + PROFILE + WITHOUT_PASSWORD), "ann@contoso.com", secret="\n"
    )
    assert (sealed.returncode, sealed.stdout) == (1, "")
    assert "is empty" in sealed.stderr


def test_another_key_than_before_is_logged_with_both_ids(tmp_path: Path) -> None:
    places = f"store: {{url: 'sqlite:///{tmp_path}/s.db'}}\nhttp: {{socket: {tmp_path}/sock}}\n"
    lines = [KEY_LINE, new_key_line()]
    logs = []
    for line in lines:
        main = _written(tmp_path, places + KEY + PROFILE + MAILBOX)
        written(tmp_path, line, "syncd.key")
        once = subprocess.run(
            [sys.executable, "-m", "syncd", "once", "--config", str(main)],
            env={"PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        entries = map(json.loads, once.stderr.splitlines())
        logs.append([entry for entry in entries if entry["level"] == "warning"])
    before, now = (parse_key_line(line).id.hex() for line in lines)
    first, (warning,) = logs
    assert first == []
    assert (warning["used_before"], warning["configured"]) == (before, [now])
