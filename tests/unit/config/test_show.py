"""The configuration in effect, value by value."""

from pathlib import Path

from syncd.config.show import Shown, effective
from tests.support.configuration import KEY_LINE, MAILBOX, PROFILE, loaded


def _shown(folder: Path, text: str) -> dict[str, Shown]:
    return {value.key: value for value in effective(loaded(folder, text))}


def test_each_value_names_its_origin(tmp_path: Path) -> None:
    shown = _shown(tmp_path, f"log: {{level: debug}}\n{PROFILE}{MAILBOX}")
    file = f"{tmp_path}/syncd.yaml"
    assert shown["log.level"] == Shown("log.level", "debug", f"{file}:1:14")
    assert shown["log.format"] == Shown("log.format", "json", "default")
    key = "profiles[contoso].incoming.server"
    assert shown[key] == Shown(key, "pop3.contoso.com", f"{file}:6:24")
    key = "mailboxes[ann@contoso.com].credentials.username"
    assert shown[key] == Shown(key, "ann", f"{file}:10:29")


def test_values_are_shown_as_the_file_would_say_them(tmp_path: Path) -> None:
    shown = _shown(tmp_path, "network: {allowed_ports: us-government}\n" + PROFILE)
    said = {key: value.value for key, value in shown.items()}
    assert said["limits.memory"] == "256MiB"
    assert said["network.connect_timeout"] == "20s"
    assert said["network.login_rate_per_server"] == "20/1s"
    assert said["network.allowed_ports"] == "us-government: 80, 443, 465, 995"
    assert said["profiles[contoso].minimum_polling_interval"] == "5m"
    assert said["profiles[contoso].default"] == "true"
    assert said["profiles[contoso].process_email_from"] == "null"
    assert said["mailboxes"] == "[]"


def test_what_is_filled_in_is_shown(tmp_path: Path) -> None:
    mailbox = MAILBOX.replace("username: ann, ", "")
    said = {key: value.value for key, value in _shown(tmp_path, PROFILE + mailbox).items()}
    assert said["profiles[contoso].incoming.port"] == "995"
    assert said["profiles[contoso].outgoing.port"] == "465"
    assert said["mailboxes[ann@contoso.com].profile"] == "contoso"
    assert said["mailboxes[ann@contoso.com].incoming"] == "sync"
    assert said["mailboxes[ann@contoso.com].name"] == "ann@contoso.com"
    assert said["mailboxes[ann@contoso.com].credentials.username"] == "ann@contoso.com"


def test_no_secret_is_shown_in_any_spelling(tmp_path: Path) -> None:
    secrets = f"""
encryption: {{keys: ['{KEY_LINE}']}}
{PROFILE}    credentials:
      outgoing: {{source: profile, username: relay, password: geheim-2}}
{MAILBOX}  - {{address: b@c, credentials: {{password: {{encrypted: "v1:geheim-3"}}}}}}
"""
    shown = _shown(tmp_path, secrets)
    assert "geheim" not in repr(shown)
    assert [value.value for key, value in shown.items() if key.endswith("password")] == [
        "null",
        "***",
        "***",
        "***",
    ]
    assert shown["encryption.keys[#1]"].value == "***"


def test_settings_print_no_secret_either(tmp_path: Path) -> None:
    settings = loaded(tmp_path, f"encryption: {{keys: ['{KEY_LINE}']}}\n{PROFILE}{MAILBOX}")
    for text in [repr(settings), str(settings), settings.model_dump_json()]:
        assert "geheim" not in text
    assert "geheim" not in repr(settings.model_dump())


def test_keys_of_later_versions_are_not_shown(tmp_path: Path) -> None:
    shown = _shown(tmp_path, PROFILE)
    assert "profiles[contoso].push" not in shown
    assert not any(key.startswith(("alerts", "reload", "submission")) for key in shown)
