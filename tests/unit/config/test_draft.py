"""One mistake does not hide another, and invents none."""

from pathlib import Path

import pytest

from tests.support.configuration import MAILBOX, PROFILE, problems, written

BEN = "  - {address: ben@contoso.com, credentials: {password: geheim}, profile: contosso}\n"
UNKNOWN = 'mailboxes[ben@contoso.com].profile: there is no profile "contosso"'


def _keys(folder: Path, text: str) -> list[str]:
    return [problem.split(": ")[1] for problem in problems(written(folder, text))]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("server: pop3.contoso.com", "sever: pop3.contoso.com"),
        ("server: smtp.contoso.com", "server: smtp.contoso.com, port: 0"),
        ("type: pop3-smtp", "type: imap-smtp"),
        ("default: true", "default: yes"),
        ("name: contoso", "name: 7"),
        ("username: ann, password: geheim", "username: ann"),
        ("address: ann@contoso.com", "address: ann"),
        ("credentials: {username: ann", "credential: {username: ann"),
    ],
)
def test_a_mistake_elsewhere_does_not_hide_an_unknown_profile(
    tmp_path: Path, right: str, wrong: str
) -> None:
    text = (PROFILE + MAILBOX).replace(right, wrong) + BEN
    sentences = problems(written(tmp_path, text))
    assert len(sentences) >= 2
    assert sum(UNKNOWN in sentence for sentence in sentences) == 1


def test_a_profile_that_is_not_well_formed_is_not_called_unknown(tmp_path: Path) -> None:
    text = (PROFILE + MAILBOX).replace("type: pop3-smtp", "type: exchange")
    assert _keys(tmp_path, text + "    profile: contoso\n") == ["profiles[contoso].type"]


def test_a_default_that_is_not_well_formed_is_not_called_missing(tmp_path: Path) -> None:
    text = PROFILE.replace("default: true", "default: yes") + MAILBOX
    assert _keys(tmp_path, text) == ["profiles[contoso].default"]
    text = "email_settings: {profile: 7}\n" + PROFILE.replace("    default: true\n", "")
    assert _keys(tmp_path, text + MAILBOX) == ["email_settings.profile"]


def test_nothing_is_concluded_from_credentials_that_are_not_well_formed(
    tmp_path: Path,
) -> None:
    held = "    credentials: {source: profil, username: syncd, password: geheim}\n"
    assert _keys(tmp_path, PROFILE + held + MAILBOX) == ["profiles[contoso].credentials.source"]
    mailbox = MAILBOX.replace("password: geheim", "password: 7")
    assert _keys(tmp_path, PROFILE + mailbox) == [
        "mailboxes[ann@contoso.com].credentials.password"
    ]


def test_nothing_is_concluded_from_a_side_that_is_not_well_formed(tmp_path: Path) -> None:
    text = PROFILE.replace("{server: pop3.contoso.com}", "{security: none}") + MAILBOX
    assert _keys(tmp_path, text) == ["profiles[contoso].incoming.server"]
    ports = "network: {allowed_ports: [465]}\n"
    text = ports + PROFILE.replace("pop3.contoso.com", "pop3.contoso.com, port: none")
    assert _keys(tmp_path, text) == ["profiles[contoso].incoming.port"]


def test_nothing_is_concluded_from_keys_that_cannot_be_read(tmp_path: Path) -> None:
    sealed = MAILBOX.replace("geheim", '{encrypted: "v1:x"}')
    keys = "encryption: {keys: [{env: NOT_THERE}]}\n"
    assert _keys(tmp_path, keys + PROFILE + sealed) == ["encryption.keys[#1]"]


def test_the_places_stay_right_when_items_before_were_taken_out(tmp_path: Path) -> None:
    mailboxes = "mailboxes:\n  - {address: 1}\n  - {address: ann@contoso.com, typ: user}\n"
    text = PROFILE + mailboxes + "  - {address: 2}\n" + BEN
    assert [problem.split(": ")[0] for problem in problems(written(tmp_path, text))] == [
        "syncd.yaml:8:15",
        "syncd.yaml:9:32",
        "syncd.yaml:10:15",
        "syncd.yaml:11:74",
    ]


def test_a_second_profile_of_a_name_is_told_though_something_else_is_wrong_with_it(
    tmp_path: Path,
) -> None:
    other = PROFILE.removeprefix("profiles:\n").replace("pop3-smtp", "imap-smtp")
    text = PROFILE + other.replace("    default: true\n", "") + MAILBOX + BEN
    sentences = problems(written(tmp_path, text))
    assert [sentence.split(": ")[1] for sentence in sentences] == [
        "profiles[contoso].name",
        "profiles[contoso].type",
        "mailboxes[ben@contoso.com].profile",
    ]
    assert "there are: contoso; did you mean" in sentences[-1]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("type: pop3-smtp", "type: imap-smtp"),
        ("    type: pop3-smtp\n", ""),
        ("name: contoso", "name: 7"),
        ("longest: 1h", "longest: 1h, warn_after: 7"),
        ("longest: 1h", "longest: 1h, warn: 7h"),
    ],
)
def test_a_mistake_beside_it_does_not_hide_a_wrong_order_of_waits(
    tmp_path: Path, right: str, wrong: str
) -> None:
    text = PROFILE + "    retry: {first: 2h, longest: 1h}\n" + MAILBOX
    assert [key.partition("].")[2] for key in _keys(tmp_path, text)] == ["retry.first"]
    assert any("].retry.first" in key for key in _keys(tmp_path, text.replace(right, wrong)))


def test_nothing_is_concluded_from_a_wait_that_was_misspelt(tmp_path: Path) -> None:
    text = PROFILE + "    retry: {frist: 10s, longest: 30s}\n" + MAILBOX
    assert _keys(tmp_path, text) == ["profiles[contoso].retry.frist"]


def test_a_name_that_stands_in_is_never_told(tmp_path: Path) -> None:
    nameless = PROFILE.replace("name: contoso", "nmae: contoso")
    other = PROFILE.removeprefix("profiles:\n").replace("contoso\n", "fabrikam\n")
    text = nameless + other + "mailboxes:\n  - {address: ann@contoso.com}\n" + BEN
    for settings in ("", "email_settings: {profile: fabrikam}\n"):
        sentences = problems(written(tmp_path, settings + text))
        assert len(sentences) >= 3
        assert "?0" not in " ".join(sentences)
