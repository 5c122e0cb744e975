"""SYNCD_… variables stand above the file, and are checked like it."""

from pathlib import Path

import pytest

from syncd.config.load import load_settings
from syncd.config.show import effective
from syncd.model.profile import Security
from tests.support.configuration import KEY_LINE, MAILBOX, PROFILE, loaded, problems, written


def test_a_variable_stands_above_the_file_and_leaves_its_neighbours(tmp_path: Path) -> None:
    file = "log: {level: warning, format: console}\n"
    settings = loaded(tmp_path, file, {"SYNCD_LOG__LEVEL": "debug"})
    assert (settings.log.level, settings.log.format) == ("debug", "console")
    assert settings.origin(("log", "level")) == "environment SYNCD_LOG__LEVEL"
    assert settings.origin(("log", "format")) == f"{tmp_path}/syncd.yaml:1:31"


def test_a_variable_may_set_what_the_file_does_not_mention(tmp_path: Path) -> None:
    environ = {
        "SYNCD_INSTANCE": "staging",
        "SYNCD_STORE__URL": "sqlite:////srv/syncd.db",
        "SYNCD_NETWORK__ALLOWED_PORTS": "[465, 995]",
        "SYNCD_NETWORK__CONNECT_TIMEOUT": "5s",
        "SYNCD_LIMITS": "{memory: 64MiB, max_message_size: 10MiB}",
        "SYNCD_EMAIL_SETTINGS__PROCESS_ONLY_APPROVED_USERS": "false",
    }
    settings = loaded(tmp_path, "log:\n", environ)
    assert settings.instance == "staging"
    assert settings.store.path == Path("/srv/syncd.db")
    assert settings.network.allowed_ports is not None
    assert settings.network.allowed_ports.ports == (465, 995)
    assert settings.limits.memory == 64 << 20
    assert settings.email_settings.process_only_approved_users is False


def test_a_port_policy_from_the_environment_judges_the_file(tmp_path: Path) -> None:
    main = written(tmp_path, PROFILE.replace("pop3.contoso.com", "p, security: starttls"))
    assert problems(main, {"SYNCD_NETWORK__ALLOWED_PORTS": "us-government"}) == [
        (
            "syncd.yaml:5:15: profiles[contoso].incoming.port: port 110 (filled in for security:"
            f" {Security.STARTTLS}) is not one of network.allowed_ports"
            " (us-government: 80, 443, 465, 995)"
        )
    ]


@pytest.mark.parametrize(
    ("variable", "text", "sentence"),
    [
        (
            "SYNCD_LOG__LEVEL",
            "loud",
            'log.level: must be debug, info, warning or error; found "loud"',
        ),
        (
            "SYNCD_LOG__LEVLE",
            "info",
            'log.levle: unknown key; allowed here: level, format; did you mean "level"?',
        ),
        (
            "SYNCD_NETWRK__MAX_CONNECTIONS",
            "7",
            (
                "unknown setting; there are instance, store, encryption, http, network, limits,"
                " email_settings, log;"
                " did you mean SYNCD_NETWORK__MAX_CONNECTIONS?"
            ),
        ),
        (
            "SYNCD_PROFILES__0__NAME",
            "contoso",
            "profiles is written in files, not in the environment",
        ),
        (
            "SYNCD_MAILBOXES",
            "[]",
            "mailboxes is written in files, not in the environment",
        ),
        (
            "SYNCD_SUBMISSION__LISTEN",
            "127.0.0.1:2587",
            (
                "submission: not supported by this version of syncd (0.1), which has no submission"
                " by SMTP; remove the key"
            ),
        ),
        (
            "SYNCD_HTTP__LISTEN",
            "127.0.0.1:9465",
            (
                "http.listen: not supported by this version of syncd (0.1), which has no HTTP API;"
                " remove the key"
            ),
        ),
        (
            "SYNCD_LOG",
            "debug",
            "log: must be a mapping with the keys level, format; found text",
        ),
        (
            "SYNCD_INSTANCE",
            "",
            "instance: must be text, found nothing",
        ),
    ],
)
def test_a_wrong_variable_is_told_by_its_name(
    tmp_path: Path, variable: str, text: str, sentence: str
) -> None:
    main = written(tmp_path, "log: {format: json}\n")
    assert problems(main, {variable: text}) == [f"environment {variable}: {sentence}"]


def test_a_variable_that_is_no_yaml_is_told_with_the_place_in_it(tmp_path: Path) -> None:
    main = written(tmp_path, "")
    assert problems(main, {"SYNCD_NETWORK__ALLOWED_PORTS": "[465, &x 995]"}) == [
        (
            "environment SYNCD_NETWORK__ALLOWED_PORTS:1:7: network.allowed_ports[#2]: the anchor &x is"
            " refused; write it out"
        )
    ]


def test_a_section_and_one_of_its_keys_at_once_are_refused(tmp_path: Path) -> None:
    environ = {"SYNCD_LOG": "{level: debug}", "SYNCD_LOG__FORMAT": "json"}
    assert problems(written(tmp_path, ""), environ) == [
        "environment SYNCD_LOG__FORMAT: SYNCD_LOG says it all already; keep one of the two"
    ]


def test_octets_that_are_not_utf_8_are_told(tmp_path: Path) -> None:
    assert problems(written(tmp_path, ""), {"SYNCD_INSTANCE": "a\udcff"}) == [
        "environment SYNCD_INSTANCE: instance: not UTF-8"
    ]


def test_variables_that_are_no_settings_are_left_alone(tmp_path: Path) -> None:
    environ = {
        "SYNCD_CONFIG": "/elsewhere",
        "SYNCD_KILL_AT": "3",
        "SYNCD_TEST_ANYTHING": "x",
        "PATH": "/bin",
    }
    assert problems(written(tmp_path, ""), environ) == []


def test_a_key_may_come_from_a_variable_without_being_shown(tmp_path: Path) -> None:
    environ = {"SYNCD_ENCRYPTION__KEYS": f"['{KEY_LINE}']"}
    settings = load_settings(written(tmp_path, PROFILE + MAILBOX), environ=environ)
    assert [key.reveal() for key in settings.encryption.keys] == [KEY_LINE]
    shown = {value.key: value for value in effective(settings)}
    assert shown["encryption.keys[#1]"].value == "***"
    assert shown["encryption.keys[#1]"].origin == "environment SYNCD_ENCRYPTION__KEYS:1:2"


def test_a_secret_file_named_by_a_variable_must_be_absolute(tmp_path: Path) -> None:
    environ = {"SYNCD_ENCRYPTION__KEYS": "[{file: key}]"}
    assert problems(written(tmp_path, ""), environ) == [
        (
            "environment SYNCD_ENCRYPTION__KEYS:1:2: encryption.keys[#1]: file: key must be an"
            " absolute path here"
        )
    ]
