"""What commands need of a configuration that is not quite right, or not all theirs to read."""

from pathlib import Path

import pytest

from syncd.config.load import find_socket, load_settings
from tests.support.configuration import MAILBOX, PROFILE, problems, written

USUAL = Path("/run/syncd/syncd.sock")


@pytest.mark.parametrize(
    "text",
    [
        "http: {socket: /srv/syncd.sock}\nlog: {level: loud}\n",
        "http: {socket: /srv/syncd.sock}\nprofiles: 7\ninclude: [nothing/*]\n",
        "http: {socket: /srv/syncd.sock}\nhttp: {socket: /srv/other.sock}\n",
    ],
)
def test_a_mistake_elsewhere_does_not_hide_the_daemon(tmp_path: Path, text: str) -> None:
    main = written(tmp_path, text)
    assert find_socket(main, environ={}) == Path("/srv/syncd.sock")


@pytest.mark.parametrize("text", ["", "http:\n", "http: {socket: 7}\n", "[", "http: x\n"])
def test_where_no_socket_can_be_read_it_is_the_usual_one(tmp_path: Path, text: str) -> None:
    assert find_socket(written(tmp_path, text), environ={}) == USUAL


def test_without_a_file_the_usual_socket_or_the_variables_counts(tmp_path: Path) -> None:
    missing = tmp_path / "nothing.yaml"
    assert find_socket(missing, environ={}) == USUAL
    environ = {"SYNCD_HTTP__SOCKET": "/srv/syncd.sock"}
    assert find_socket(missing, environ=environ) == Path("/srv/syncd.sock")


def test_a_command_that_merely_looks_needs_no_secret_of_the_daemon(tmp_path: Path) -> None:
    keys = "encryption: {keys: [{credential: syncd-key}]}\n"
    main = written(tmp_path, keys + PROFILE + MAILBOX.replace("geheim", "{env: PASSWORD}"))
    assert len(problems(main)) == 2
    settings = load_settings(main, environ={}, merely_looking=True)
    assert "***" in repr(settings.encryption.keys)
