"""Reading files, and who else could."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from syncd.config.files import (
    FileForbidden,
    FileUnreadable,
    Identity,
    read_regular,
    why_exposed,
)

SERVICE = Identity(user=991, groups=frozenset({992}))
FILE = Path("/etc/syncd/syncd.yaml")


def _status(mode: int, user: int = 991, group: int = 992) -> os.stat_result:
    return os.stat_result((stat.S_IFREG | mode, 0, 0, 1, user, group, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "user", "group"),
    [
        (0o600, 991, 992),
        (0o600, 0, 0),
        (0o400, 991, 7),
        (0o640, 991, 992),
        (0o640, 0, 992),
        (0o440, 0, 992),
    ],
)
def test_a_file_of_root_or_the_service_that_only_they_can_read_is_private(
    mode: int, user: int, group: int
) -> None:
    assert why_exposed(_status(mode, user, group), FILE, SERVICE) is None


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602, 0o601, 0o660, 0o620, 0o650, 0o666])
def test_a_mode_that_lets_others_in_names_the_cure(mode: int) -> None:
    assert why_exposed(_status(mode), FILE, SERVICE) == (
        f"its mode is {mode:04o}; type: chmod 600 /etc/syncd/syncd.yaml"
    )


def test_the_group_may_read_only_when_it_is_the_services() -> None:
    assert why_exposed(_status(0o640, group=7), FILE, SERVICE) == (
        "its mode is 0640; type: chmod 600 /etc/syncd/syncd.yaml"
    )


def test_a_file_of_somebody_else_names_the_cure() -> None:
    assert why_exposed(_status(0o600, user=1000), FILE, SERVICE) == (
        "it belongs to the user 1000; type: chown 991 /etc/syncd/syncd.yaml"
    )


def test_a_name_with_blanks_can_be_pasted_into_a_shell() -> None:
    why = why_exposed(_status(0o644), Path("/etc/my syncd/a.yaml"), SERVICE)
    assert why == "its mode is 0644; type: chmod 600 '/etc/my syncd/a.yaml'"


def test_this_process_reads_as_its_user_and_group() -> None:
    identity = Identity.of_this_process()
    assert identity.user == os.geteuid()
    assert os.getegid() in identity.groups


def test_a_file_is_read_with_its_status(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"abc")
    path.chmod(0o640)
    file = read_regular(path, longest=3)
    assert file.content == b"abc"
    assert stat.S_IMODE(file.status.st_mode) == 0o640


def test_a_file_that_is_too_long_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"abcd")
    with pytest.raises(FileUnreadable, match="larger than 3 octets"):
        read_regular(path, longest=3)


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in [pipe, tmp_path, Path("/dev/null")]:
        with pytest.raises(FileUnreadable, match="is not a regular file"):
            read_regular(path, longest=10)


def test_a_file_that_is_not_there_or_not_nameable_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable, match="No such file or directory"):
        read_regular(tmp_path / "nothing", longest=10)
    with pytest.raises(FileUnreadable, match="cannot be a file's name"):
        read_regular(tmp_path / "a\0b", longest=10)


def test_a_file_that_only_others_may_read_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.touch(mode=0o000)
    with _as_nobody_special(), pytest.raises(FileForbidden):
        read_regular(path, longest=10)


@contextmanager
def _as_nobody_special() -> Iterator[None]:
    """Give up root's rights for a moment, where the tests have them."""
    user = os.geteuid()
    os.seteuid(65534 if user == 0 else user)
    try:
        yield
    finally:
        os.seteuid(user)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count, not paths
    (tmp_path / "key").write_bytes(b"abcd")
    for path in [tmp_path, tmp_path / "key", tmp_path / "key"]:
        with pytest.raises(FileUnreadable):
            read_regular(path, longest=3)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
