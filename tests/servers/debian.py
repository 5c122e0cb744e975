"""Debian's mail programs, unpacked into a private root: nothing is installed, nothing is started.

    python -m tests.servers.debian            Dovecot, Postfix, strace, iproute2: what the tests need
    python -m tests.servers.debian --bench    and mpop, fetchmail, getmail6, isync: the benchmark's peers

apt resolves the packages as if the machine had none installed and only downloads them; they are
unpacked below `.cache/debian/root` without running their scripts. The root is complete, C library
included, and has its own passwd file, so servers run in it by chroot with users that exist
nowhere else, and whatever the machine has installed is neither used nor touched.

Rule 1: no command here may change the machine outside `.cache/debian`.
Rule 2: apt's output names package sources; it is never passed on.
"""

import fcntl
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "debian"
ROOT = CACHE / "root"

# The users that exist only inside the root. Far away from what Debian hands out to real ones.
USERS = {"dovecot": 61101, "dovenull": 61102, "postfix": 61103, "vmail": 61104, "peer": 61105}
GROUPS = {**USERS, "postdrop": 61110}

DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9)}

# Raise it when the root must be made anew.
LAYOUT = 1


class Group(StrEnum):
    """A set of packages that is made available together."""

    SERVERS = "servers"
    PEERS = "peers"


PACKAGES: dict[Group, tuple[str, ...]] = {
    Group.SERVERS: (
        "dovecot-core",
        "dovecot-pop3d",
        "dovecot-imapd",
        "dovecot-lmtpd",
        "postfix",
        "strace",
        "iproute2",
    ),
    Group.PEERS: ("mpop", "fetchmail", "getmail6", "isync"),
}

# Pulled in by installation scripts that never run here; half of the root's size.
NOT_UNPACKED = ("perl*", "libperl*", "dpkg", "usrmerge", "libicu-dev", "e2fsprogs")


class NotAvailable(Exception):
    """The real servers cannot be had here; the text says why and what would help."""


def find(group: Group = Group.SERVERS) -> Path:
    """Return the private root that holds the group's programs; never downloads. NotAvailable otherwise."""
    if os.geteuid() != 0:
        raise NotAvailable("Debian's mail servers run by chroot, which needs root")
    if not _is_ready(group):
        raise NotAvailable(
            f"not unpacked yet: run `python -m tests.servers.debian{_option(group)}`"
        )
    return ROOT


def ensure(groups: Sequence[Group]) -> Path:
    """Download and unpack what is missing and return the private root. NotAvailable when that fails."""
    if os.geteuid() != 0:
        raise NotAvailable("Debian's mail servers run by chroot, which needs root")
    if all(_is_ready(group) for group in groups):
        return ROOT
    if shutil.which("apt-get") is None:
        raise NotAvailable("this is not a Debian system: there is no apt-get")
    CACHE.mkdir(parents=True, exist_ok=True)
    with _locked():
        for group in groups:
            if not _is_ready(group):
                _furnish(ROOT)
                _unpack(_download(PACKAGES[group]), ROOT)
                shutil.rmtree(CACHE / "lists", ignore_errors=True)
                _stamp(group).write_text(_content(group), encoding="ascii")
    return ROOT


def tool(name: str) -> list[str]:
    """Return the command line's beginning for a plain program: the machine's own, else the unpacked one.

    The unpacked one runs outside the chroot through its own loader, so that what it
    starts (strace's child) sees the machine's libraries again.
    """
    if (installed := shutil.which(name)) is not None:
        return [installed]
    return unpacked_tool(name)


def unpacked_tool(name: str) -> list[str]:
    """Return the command line's beginning that runs the unpacked program outside the chroot."""
    for folder in ("usr/bin", "usr/sbin"):
        if (program := ROOT / folder / name).exists():
            libraries = ":".join(
                str(folder) for folder in sorted(ROOT.glob("usr/lib/*-linux-gnu*"))
            )
            loader = next(ROOT.glob("usr/lib*/ld-linux-*.so.*"))
            return [str(loader), "--library-path", libraries, str(program)]
    raise NotAvailable(f"{name} is neither installed nor unpacked")


def _option(group: Group) -> str:
    return " --bench" if group is Group.PEERS else ""


def _stamp(group: Group) -> Path:
    return CACHE / f"{group}.ready"


def _content(group: Group) -> str:
    return json.dumps([LAYOUT, *PACKAGES[group]])


def _is_ready(group: Group) -> bool:
    stamp = _stamp(group)
    return (
        ROOT.is_dir()
        and stamp.exists()
        and stamp.read_text(encoding="ascii") == _content(group)
    )


@contextmanager
def _locked() -> Iterator[None]:
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _download(packages: Sequence[str]) -> list[Path]:
    """Fetch the packages and all they need, as seen from an empty system; return the .deb files."""
    lists = _system_lists()
    if lists is None or not _try_download(packages, lists):
        # No lists, or lists that name versions the archive has dropped since.
        lists = CACHE / "lists"
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        _apt(["update"], lists)
        if not _try_download(packages, lists):
            raise NotAvailable("apt-get could not download the packages")
    return [_archives() / name for name in _names(packages, lists)]


def _system_lists() -> Path | None:
    lists = Path("/var/lib/apt/lists")
    return lists if any(lists.glob("*_Packages*")) else None


def _archives() -> Path:
    return CACHE / "archives"


def _try_download(packages: Sequence[str], lists: Path) -> bool:
    (_archives() / "partial").mkdir(parents=True, exist_ok=True)
    try:
        _apt(["--download-only", "install", *packages], lists)
    except NotAvailable:
        return False
    return True


def _names(packages: Sequence[str], lists: Path) -> list[str]:
    """Name the closure's archive files; everything is in the cache by now."""
    simulated = _apt(["--simulate", "install", *packages], lists)
    planned = re.findall(r"^Inst (\S+) \((\S+)", simulated, re.MULTILINE)
    wanted = {f"{name}_{version.replace(':', '%3a')}" for name, version in planned}
    return sorted(
        archive.name
        for archive in _archives().glob("*.deb")
        if archive.name.rpartition("_")[0] in wanted
        and not any(Path(archive.name.split("_")[0]).match(pattern) for pattern in NOT_UNPACKED)
    )


def _apt(arguments: Sequence[str], lists: Path) -> str:
    """Run apt-get on an imaginary empty system below CACHE and return what it printed."""
    status = CACHE / "status"
    status.touch()
    options = {
        "Dir::State::status": str(status),
        "Dir::State::lists": str(lists),
        "Dir::State::extended_states": str(CACHE / "extended_states"),
        "Dir::Cache": str(CACHE),
        "Dir::Cache::archives": str(_archives()),
        "Dir::Log": str(CACHE),
        "Dir::Log::Planner": "/dev/null",
        "APT::Sandbox::User": "root",
        "APT::Update::Post-Invoke": "",
        "APT::Update::Post-Invoke-Success": "",
        "DPkg::Post-Invoke": "",
        "Debug::NoLocking": "1",
    }
    command = ["apt-get", "-y", "-q", "--no-install-recommends"]
    for key, value in options.items():
        command += ["-o", f"{key}={value}"]
    done = subprocess.run(
        [*command, *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
    )
    if done.returncode != 0:
        # Rule 2: its words name the package source, its exit status does not.
        raise NotAvailable(f"apt-get {arguments[0]} ended with status {done.returncode}")
    return done.stdout


def _furnish(root: Path) -> None:
    """Make the merged-/usr links, the devices and the users that installation scripts would make."""
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        if not (root / name).is_symlink():
            (root / name).symlink_to(f"usr/{name}")
    for name in ("dev", "etc/postfix", "run", "srv", "proc", "root", "var/tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("tmp", "var/tmp"):
        (root / name).mkdir(exist_ok=True)
        (root / name).chmod(0o1777)
    for name, (major, minor) in DEVICES.items():
        _make_device(root / "dev" / name, os.makedev(major, minor))
    users = ["root:x:0:0::/root:/bin/sh", "nobody:x:65534:65534::/nonexistent:/bin/false"]
    users += [f"{name}:x:{uid}:{uid}::/nonexistent:/bin/false" for name, uid in USERS.items()]
    groups = ["root:x:0:", "nogroup:x:65534:"]
    groups += [f"{name}:x:{gid}:" for name, gid in GROUPS.items()]
    contents = {
        "passwd": "\n".join(users),
        "group": "\n".join(groups),
        "hosts": "127.0.0.1 localhost\n::1 localhost",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files",
        "postfix/dynamicmaps.cf": "",
    }
    for name, text in contents.items():
        (root / "etc" / name).write_text(f"{text}\n", encoding="ascii")


def _make_device(path: Path, device: int) -> None:
    try:
        if not path.exists():
            os.mknod(path, 0o666 | stat.S_IFCHR, device)
            path.chmod(0o666)
        path.open("rb").close()
    except OSError as exc:
        raise NotAvailable(
            f"no device nodes can be made below {CACHE.name}: {exc.strerror}"
        ) from exc


def _unpack(archives: Sequence[Path], root: Path) -> None:
    for archive in archives:
        # dpkg -x would replace the links of the merged /usr by folders; tar can be told not to.
        unpacking = subprocess.Popen(
            ["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE
        )
        subprocess.run(
            [
                *(
                    "tar",
                    "--extract",
                    "--file=-",
                    f"--directory={root}",
                    "--keep-directory-symlink",
                ),
                *("--exclude=./usr/share/doc", "--exclude=./usr/share/man"),
                *("--exclude=./usr/share/locale", "--exclude=./lib/systemd"),
            ],
            stdin=unpacking.stdout,
            check=True,
        )
        if unpacking.wait() != 0:
            raise NotAvailable(f"{archive.name} cannot be unpacked")


def main(arguments: Sequence[str]) -> int:
    """Make the programs available and say in one line what there is; 0 also where nothing can be had."""
    groups = [Group.SERVERS, Group.PEERS] if "--bench" in arguments else [Group.SERVERS]
    names = ", ".join(name for group in groups for name in PACKAGES[group])
    try:
        ensure(groups)
    except NotAvailable as exc:
        print(f"left out: tests against {names} ({exc})")
    else:
        print(f"ready: {names} (unpacked, not installed)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
