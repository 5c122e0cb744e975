"""What `syncd config check` says of a configuration beyond good or bad."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from syncd.config.load import load_settings
from syncd.config.remarks import unread, warnings
from tests.support.configuration import KEY_LINE, MAILBOX, PROFILE, loaded, problems, written


def _check(
    main: Path, *options: str, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "syncd", "config", "check", "--config", main.name, *options],
        cwd=main.parent,
        env={"PYTHONPATH": ":".join(sys.path), **(environ or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def _warnings(folder: Path, incoming: str = "", outgoing: str = "") -> list[str]:
    text = PROFILE.replace("pop3.contoso.com", f"pop3.contoso.com, {incoming}")
    text = text.replace("smtp.contoso.com", f"smtp.contoso.com, {outgoing}")
    return [str(warning) for warning in warnings(loaded(folder, text + MAILBOX))]


def test_what_only_the_daemon_can_read_is_said_to_be_unchecked(tmp_path: Path) -> None:
    keys = "encryption: {keys: [{credential: foo}]}\n"
    main = written(tmp_path, keys + PROFILE + MAILBOX.replace("geheim", "{env: NOENV}"))
    checked = _check(main)
    assert checked.returncode == 0
    assert checked.stderr.splitlines() == [
        (
            "not checked here: syncd.yaml:1:21: encryption.keys[#1]: {credential: foo}: systemd gives"
            " it to the service only (CREDENTIALS_DIRECTORY is not set here)"
        ),
        (
            "not checked here: syncd.yaml:10:44: mailboxes[ann@contoso.com].credentials.password:"
            " {env: NOENV}: this environment has no variable NOENV"
        ),
    ]
    assert checked.stdout == (
        "syncd.yaml: 1 profile, 1 mailbox: good, but for 2 secrets not checked\n"
    )
    said = json.loads(_check(main, "--json").stdout)
    assert (said["ok"], said["profiles"], said["mailboxes"]) == (True, 1, 1)
    assert [(one["line"], one["key"]) for one in said["not_checked"]] == [
        (1, "encryption.keys[#1]"),
        (10, "mailboxes[ann@contoso.com].credentials.password"),
    ]


def test_a_secret_that_could_be_read_is_not_called_unchecked(tmp_path: Path) -> None:
    main = written(tmp_path, PROFILE + MAILBOX.replace("geheim", "{env: PASSWORD}"))
    environ = {"PASSWORD": "geheim"}
    assert unread(load_settings(main, environ=environ, merely_looking=True)) == ()
    checked = _check(main, environ=environ)
    assert (checked.stderr, checked.stdout) == (
        "",
        "syncd.yaml: 1 profile, 1 mailbox: good\n",
    )


def test_a_key_file_that_holds_no_key_is_a_problem_wherever_it_can_be_read(
    tmp_path: Path,
) -> None:
    written(tmp_path, f"{KEY_LINE}\n", "good.key")
    written(tmp_path, "geheim\n", "no.key")
    written(tmp_path, f"{KEY_LINE[:-8]}\n", "cut.key")
    keys = "encryption: {keys: [{file: good.key}, {file: no.key}, {file: cut.key}]}\n"
    main = written(tmp_path, keys + PROFILE + MAILBOX)
    first, second = problems(main)
    assert first.startswith("syncd.yaml:1:39: encryption.keys[#2]: this is no syncd key")
    assert second.startswith("syncd.yaml:1:55: encryption.keys[#3]: this syncd key is damaged")
    checked = _check(main)
    assert checked.returncode == 78
    assert "geheim" not in checked.stderr
    assert checked.stderr.splitlines()[-1] == "2 problems; nothing was started or changed"


@pytest.mark.parametrize(
    ("side", "settings", "meaning"),
    [
        ("incoming", "port: 110", "POP3 with starttls or none; found POP3 with security: tls"),
        ("incoming", "port: 995, security: starttls", "POP3 with security: tls"),
        (
            "incoming",
            "port: 995, security: none, authentication: cram-md5",
            "POP3 with security: tls",
        ),
        ("incoming", "port: 993", "IMAP, which this version does not speak"),
        ("incoming", "port: 465", "SMTP with security: tls; found POP3"),
        (
            "outgoing",
            "port: 587",
            "SMTP with security: starttls; found SMTP with security: tls",
        ),
        ("outgoing", "port: 465, security: starttls", "SMTP with security: tls"),
        ("outgoing", "port: 25, security: starttls", "mail from one provider's server"),
        ("outgoing", "port: 995", "POP3 with security: tls; found SMTP"),
    ],
)
def test_a_port_that_contradicts_its_side_is_doubted_and_taken(
    tmp_path: Path, side: str, settings: str, meaning: str
) -> None:
    (warning,) = _warnings(tmp_path, **{side: settings})
    assert f"/syncd.yaml:{5 if side == 'incoming' else 6}:" in warning
    assert f"profiles[contoso].{side}.port: port " in warning
    assert f" usually means {meaning}" in warning


@pytest.mark.parametrize(
    ("incoming", "outgoing"),
    [
        ("port: 995", "port: 465"),
        ("port: 110, security: starttls", "port: 587, security: starttls"),
        ("security: starttls", "security: starttls"),
        ("port: 1110, security: none, authentication: apop", "port: 2525"),
        ("security: none, authentication: apop", "security: none, authentication: cram-md5"),
    ],
)
def test_usual_and_unknown_ports_are_not_doubted(
    tmp_path: Path, incoming: str, outgoing: str
) -> None:
    assert _warnings(tmp_path, incoming, outgoing) == []


def test_a_doubt_is_printed_with_its_place_and_changes_no_exit_status(tmp_path: Path) -> None:
    main = written(tmp_path, PROFILE.replace("{server: p", "{port: 110, server: p") + MAILBOX)
    checked = _check(main)
    assert checked.returncode == 0
    assert checked.stderr == (
        "warning: syncd.yaml:5:22: profiles[contoso].incoming.port: port 110 usually means POP3"
        " with starttls or none; found POP3 with security: tls, whose usual port is 995\n"
    )
    (warning,) = json.loads(_check(main, "--json").stdout)["warnings"]
    assert (warning["line"], warning["column"]) == (5, 22)


@pytest.mark.parametrize(
    ("text", "counts"),
    [("", "0 profiles, 0 mailboxes"), (PROFILE, "1 profile, 0 mailboxes")],
)
def test_a_configuration_without_mailboxes_has_nothing_to_do(
    tmp_path: Path, text: str, counts: str
) -> None:
    checked = _check(written(tmp_path, text))
    assert (checked.returncode, checked.stdout) == (0, f"syncd.yaml: {counts}: nothing to do\n")


def test_the_daemon_logs_a_doubt_when_it_starts(tmp_path: Path) -> None:
    places = f"store: {{url: 'sqlite:///{tmp_path}/s.db'}}\nhttp: {{socket: {tmp_path}/sock}}\n"
    main = written(tmp_path, places + PROFILE.replace("{server: p", "{port: 110, server: p"))
    with subprocess.Popen(
        [sys.executable, "-m", "syncd", "run", "--config", str(main)],
        env={"PYTHONPATH": ":".join(sys.path)},
        stderr=subprocess.PIPE,
        text=True,
    ) as daemon:
        assert daemon.stderr is not None
        logged = []
        for line in daemon.stderr:
            logged.append(json.loads(line))
            if logged[-1]["event"] == "started":
                daemon.terminate()
    doubts = [line for line in logged if line["event"] == "doubtful setting"]
    assert [doubt["level"] for doubt in doubts] == ["warning"]
    assert "incoming.port: port 110 usually means POP3" in doubts[0]["setting"]
