"""Included files: joined, in order, and never silently missing."""

from pathlib import Path

import pytest

from syncd.config.load import load_settings
from tests.support.configuration import MAILBOX, PROFILE, problems, written

BEN = "mailboxes:\n  - {address: ben@contoso.com, credentials: {password: geheim}}\n"


def test_included_profiles_and_mailboxes_are_joined_in_the_order_of_file_names(
    tmp_path: Path,
) -> None:
    written(tmp_path, PROFILE, "profiles.d/contoso.yaml")
    written(tmp_path, BEN, "mailboxes.d/b.yaml")
    written(tmp_path, MAILBOX, "mailboxes.d/a.yaml")
    main = written(tmp_path, "include: [profiles.d/*.yaml, mailboxes.d/*.yaml]\n")
    settings = load_settings(main, environ={})
    assert [mailbox.address for mailbox in settings.mailboxes] == [
        "ann@contoso.com",
        "ben@contoso.com",
    ]
    assert settings.profiles[0].name == "contoso"


def test_what_the_main_file_holds_comes_first(tmp_path: Path) -> None:
    written(tmp_path, BEN, "more.yaml")
    main = written(tmp_path, f"include: [more.yaml]\n{PROFILE}{MAILBOX}")
    settings = load_settings(main, environ={})
    assert [mailbox.address[:3] for mailbox in settings.mailboxes] == ["ann", "ben"]


def test_an_absolute_pattern_is_taken_as_it_is(tmp_path: Path) -> None:
    more = written(tmp_path, PROFILE, "elsewhere/profiles.yaml")
    main = written(tmp_path, f"include: ['{more}']\n", "etc/syncd.yaml")
    assert load_settings(main, environ={}).profiles[0].name == "contoso"


def test_a_folder_whose_name_holds_a_pattern_is_taken_literally(tmp_path: Path) -> None:
    written(tmp_path, PROFILE, "[a]*/profiles.yaml")
    main = written(tmp_path, "include: [profiles.yaml]\n", "[a]*/syncd.yaml")
    assert load_settings(main, environ={}).profiles[0].name == "contoso"


def test_a_pattern_that_matches_nothing_is_an_error_unless_it_is_optional(
    tmp_path: Path,
) -> None:
    (tmp_path / "mailboxes.d").mkdir()
    assert problems(written(tmp_path, "include: [mailboxes.d/*.yaml]\n")) == [
        (
            "syncd.yaml:1:11: include: mailboxes.d/*.yaml matches no file in FOLDER; if that may"
            " be, write {path: mailboxes.d/*.yaml, optional: true}"
        )
    ]
    optional = "include: [{path: mailboxes.d/*.yaml, optional: true}]\n"
    assert problems(written(tmp_path, optional)) == []


def test_a_file_that_two_patterns_match_is_read_once(tmp_path: Path) -> None:
    written(tmp_path, PROFILE, "d/profiles.yaml")
    main = written(tmp_path, "include: [d/*.yaml, d/profiles.yaml, ./d/*]\n")
    assert len(load_settings(main, environ={}).profiles) == 1


def test_a_pattern_that_matches_the_main_file_does_not_read_it_twice(tmp_path: Path) -> None:
    main = written(tmp_path, f"include: ['*.yaml']\n{PROFILE}{MAILBOX}")
    assert len(load_settings(main, environ={}).mailboxes) == 1


def test_an_included_file_holds_profiles_and_mailboxes_only(tmp_path: Path) -> None:
    written(tmp_path, "log: {level: debug}\ninclude: [more.yaml]\n", "more.yaml")
    assert problems(written(tmp_path, "include: [more.yaml]\n")) == [
        "more.yaml:1:1: log: an included file holds profiles: and mailboxes: only",
        "more.yaml:2:1: include: an included file holds profiles: and mailboxes: only",
    ]


def test_an_included_file_may_be_empty(tmp_path: Path) -> None:
    written(tmp_path, "# nothing yet\n", "more.yaml")
    assert problems(written(tmp_path, "include: [more.yaml]\n")) == []


def test_problems_of_all_files_come_at_once_in_the_order_of_files_and_lines(
    tmp_path: Path,
) -> None:
    written(tmp_path, "mailboxes:\n  - {address: ben}\n", "b.yaml")
    written(tmp_path, "profiles: contoso\n", "c.yaml")
    written(tmp_path, "mailboxes: [\n", "d.yaml")
    written(tmp_path, "- contoso\n", "e.yaml")
    written(tmp_path, MAILBOX, "a.yaml")
    main = written(tmp_path, f"log: {{level: loud}}\ninclude: ['?.yaml']\n{PROFILE}{MAILBOX}")
    assert [sentence.split(": ")[0] for sentence in problems(main)] == [
        "a.yaml:2:14",
        "b.yaml:2:15",
        "c.yaml:1:11",
        "d.yaml:2:1",
        "e.yaml:1:1",
        "syncd.yaml:1:14",
    ]


def test_an_address_that_stands_in_two_files_is_told_with_both_places(tmp_path: Path) -> None:
    written(tmp_path, MAILBOX, "d/more.yaml")
    main = written(tmp_path, f"include: [d/*.yaml]\n{PROFILE}{MAILBOX}")
    assert problems(main) == [
        (
            "d/more.yaml:2:14: mailboxes[ann@contoso.com].address: a mailbox of this address stands"
            " already at syncd.yaml:9:14"
        )
    ]


def test_a_folder_in_place_of_a_file_is_told_where_it_is_included(tmp_path: Path) -> None:
    (tmp_path / "d" / "x.yaml").mkdir(parents=True)
    assert problems(written(tmp_path, "include: [d/*.yaml]\n")) == [
        "syncd.yaml:1:11: d/x.yaml is not a regular file"
    ]


def test_a_file_that_is_not_utf_8_is_told_with_its_place(tmp_path: Path) -> None:
    main = written(tmp_path, "")
    main.write_bytes(b"log: {level: info}\n# Gr\xfc\xdfe\n")
    assert problems(main) == [
        (
            "syncd.yaml:2:5: not UTF-8: the byte 0xfc belongs to another encoding; save the file"
            " as UTF-8"
        )
    ]


def test_a_missing_configuration_says_where_it_was_looked_for(tmp_path: Path) -> None:
    assert problems(tmp_path / "syncd.yaml") == [
        (
            "syncd.yaml: there is no such file; the configuration is what --config names, else"
            " SYNCD_CONFIG, else /etc/syncd/syncd.yaml"
        )
    ]


def test_without_a_path_the_variable_names_it(tmp_path: Path) -> None:
    main = written(tmp_path, "instance: there\n")
    settings = load_settings(None, environ={"SYNCD_CONFIG": str(main)})
    assert settings.instance == "there"


def test_an_authority_stands_beside_the_file_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, "-----BEGIN CERTIFICATE-----\n", "profiles.d/ca.pem")
    profile = PROFILE.replace("{server: p", "{tls_ca: ca.pem, server: p")
    written(tmp_path, profile, "profiles.d/contoso.yaml")
    written(tmp_path, "include: [profiles.d/*.yaml]\n")
    monkeypatch.chdir(tmp_path)
    incoming = load_settings(Path("syncd.yaml"), environ={}).profiles[0].incoming
    assert incoming is not None
    # Absolute: a daemon that changes its directory still finds it.
    assert incoming.tls_ca == tmp_path / "profiles.d" / "ca.pem"
    (tmp_path / "profiles.d" / "ca.pem").unlink()
    (problem,) = problems(tmp_path / "syncd.yaml")
    assert problem.endswith(
        "tls_ca: profiles.d/ca.pem cannot be read: No such file or directory"
    )
