"""The files beside a store: modes, lock, ballast."""

import os
import resource
import stat
from pathlib import Path

import pytest

from syncd.errors import StoreRefused
from syncd.store.files import (
    Ballast,
    FileLock,
    create_private,
    is_out_of_room,
    is_private,
    require_folder,
)


@pytest.fixture
def generous_umask() -> object:
    before = os.umask(0)
    yield
    os.umask(before)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("generous_umask")
def test_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    create_private(tmp_path / "a")
    lock = FileLock(tmp_path / "b")
    ballast = Ballast(tmp_path / "c", octets=4096)
    ballast.lay()
    assert [_mode(tmp_path / name) for name in "abc"] == [0o600] * 3
    lock.release()


def test_a_file_that_others_can_read_is_noticed(tmp_path: Path) -> None:
    create_private(tmp_path / "a")
    assert is_private(tmp_path / "a")
    (tmp_path / "a").chmod(0o640)
    assert not is_private(tmp_path / "a")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match="nowhere of the store does not exist"):
        require_folder(tmp_path / "nowhere" / "syncd.db")


def test_the_second_to_lock_hears_who_holds_it(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")
    with pytest.raises(StoreRefused, match=rf"process {os.getpid()};"):
        FileLock(tmp_path / "lock")
    lock.release()
    FileLock(tmp_path / "lock").release()


def test_ballast_takes_real_space_and_gives_it_back(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path / "ballast", octets=1024 * 1024)
    ballast.lay()
    assert ballast.is_laid()
    assert (tmp_path / "ballast").stat().st_blocks * 512 >= 1024 * 1024
    ballast.give_up()
    assert not ballast.is_laid()
    ballast.give_up()  # twice does no harm


def test_ballast_that_would_fill_the_disk_is_not_laid(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path / "ballast", octets=1 << 60)
    ballast.lay()
    assert not ballast.is_laid()


def test_ballast_that_the_system_refuses_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "in the way").mkdir()
    Ballast(tmp_path / "in the way", octets=4096).give_up()
    assert (tmp_path / "in the way").is_dir()
    gone = Ballast(tmp_path / "gone" / "ballast", octets=4096)
    gone.lay()
    gone.give_up()
    assert (gone.is_laid(), gone.free_bytes) == (False, 0)


def test_ballast_does_without_a_file_when_there_are_no_more_handles(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path / "ballast", octets=4096)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        ballast.lay()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not ballast.is_laid()


def test_a_disk_with_room_is_not_out_of_room(tmp_path: Path) -> None:
    assert not is_out_of_room(tmp_path)
    assert list(tmp_path.iterdir()) == [], "the probe is gone"


def test_a_folder_that_is_gone_is_another_trouble_than_no_room(tmp_path: Path) -> None:
    assert not is_out_of_room(tmp_path / "gone")
