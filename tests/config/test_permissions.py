"""Nobody else may read a file with secrets (faults 43)."""

import os
from pathlib import Path

import pytest

from tests.support.configuration import MAILBOX, PROFILE, problems, written

SECRET_IN_FILE = MAILBOX.replace("geheim", "{file: password}")


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o440])
def test_a_plain_secret_may_stand_in_a_private_file(tmp_path: Path, mode: int) -> None:
    main = written(tmp_path, PROFILE + MAILBOX, mode=mode)
    os.chown(main, -1, os.getegid())
    assert problems(main) == []


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o666, 0o620])
def test_a_plain_secret_in_a_file_that_others_can_read_is_an_error(
    tmp_path: Path, mode: int
) -> None:
    main = written(tmp_path, PROFILE + MAILBOX, mode=mode)
    assert problems(main) == [
        (
            "syncd.yaml:9:44: mailboxes[ann@contoso.com].credentials.password: a secret stands here"
            f" in plain text, in a file that others can read: its mode is {mode:04o}; type:"
            " chmod 600 syncd.yaml; or write it as {encrypted: …}, {file: …}, {env: …} or"
            " {credential: …}"
        )
    ]


def test_a_file_without_plain_secrets_may_be_read_by_all(tmp_path: Path) -> None:
    sealed = MAILBOX.replace("geheim", "{env: PASSWORD}")
    main = written(tmp_path, PROFILE + sealed, mode=0o644)
    assert problems(main, {"PASSWORD": "geheim"}) == []


def test_one_exposed_file_with_many_secrets_is_one_problem(tmp_path: Path) -> None:
    mailboxes = "mailboxes:\n" + "".join(
        f"  - {{address: user{n}@contoso.com, credentials: {{password: geheim}}}}\n"
        for n in range(50)
    )
    written(tmp_path, mailboxes, "mailboxes.yaml", mode=0o644)
    main = written(tmp_path, f"include: [mailboxes.yaml]\n{PROFILE}", mode=0o644)
    (problem,) = problems(main)
    assert problem.startswith("mailboxes.yaml:2:58: mailboxes[user0@contoso.com]")


def test_an_exposed_file_is_told_even_where_other_things_are_wrong(tmp_path: Path) -> None:
    main = written(tmp_path, f"log: {{level: loud}}\n{PROFILE}{MAILBOX}", mode=0o644)
    assert len(problems(main)) == 2


def test_a_secret_file_stands_beside_the_file_that_names_it(tmp_path: Path) -> None:
    written(tmp_path, "geheim\n", "d/password")
    written(tmp_path, SECRET_IN_FILE, "d/mailboxes.yaml", mode=0o644)
    main = written(tmp_path, f"include: [d/mailboxes.yaml]\n{PROFILE}", mode=0o644)
    assert problems(main) == []


def test_a_secret_file_that_others_can_read_is_an_error(tmp_path: Path) -> None:
    written(tmp_path, "geheim\n", "password", mode=0o644)
    assert problems(written(tmp_path, PROFILE + SECRET_IN_FILE)) == [
        (
            "syncd.yaml:9:44: mailboxes[ann@contoso.com].credentials.password: file: password holds"
            " a secret that others can read: its mode is 0644; type: chmod 600 password"
        )
    ]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_a_strange_user_or_group_is_an_error(tmp_path: Path) -> None:
    main = written(tmp_path, PROFILE + MAILBOX, mode=0o640)
    os.chown(main, 0, 12345)
    (problem,) = problems(main)
    assert "its mode is 0640; type: chmod 600" in problem
    os.chown(main, 12345, 0)
    (problem,) = problems(main)
    assert "it belongs to the user 12345; type: chown 0" in problem
