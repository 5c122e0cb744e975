"""A second place to stand, 40 ms away: clients there, servers here.

`here()` moves this process into a network namespace of its own, so that nothing the benchmark
does touches the machine's network. `Far` makes a second namespace and a road between the two
that holds every packet for half a round trip: netem where the kernel has it, otherwise this
module run as a program between two tun devices. Both ends believe in an MTU of 1500; with
segmentation offload, as between virtual machines, the program sees fewer, larger packets and
is no bottleneck.
"""

import ctypes
import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers import debian

HERE, THERE = "10.77.0.1", "10.77.0.2"
ROUND_TRIP = 0.040

_CLONE_NEWNET = 0x40000000
_TUNSETIFF, _TUNSETOFFLOAD = 0x400454CA, 0x400454D0
_IFF_TUN, _IFF_NO_PI, _IFF_VNET_HDR = 0x0001, 0x1000, 0x4000
_TUN_F_CSUM, _TUN_F_TSO4, _TUN_F_TSO6 = 0x01, 0x02, 0x04
_LARGEST = 10 + 65536


class NotPossible(Exception):
    """This machine cannot hold packets; the text says what is missing."""


def here() -> None:
    """Move this process, and all it starts from now on, into a network namespace with loopback only.

    The server's address is HERE in either place, so that one certificate fits both.
    """
    _leave_network()
    _ip("link", "set", "lo", "up")
    _ip("address", "add", f"{HERE}/32", "dev", "lo")


class Far:
    """The road to THERE; run a client there with `far.prefix + command`, it reaches us as HERE."""

    def __init__(self, round_trip: float = ROUND_TRIP) -> None:
        self.round_trip = round_trip
        self.how = ""
        self.prefix: list[str] = []
        self._holder: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._holder = subprocess.Popen(
            [
                "setpriv",
                "--pdeathsig",
                "KILL",
                sys.executable,
                "-m",
                __name__,
                str(self.round_trip),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        word, _, self.how = self._holder.stdout.readline().strip().partition(" ")
        if word != "ready":
            self._holder.wait()
            raise NotPossible(self.how or "the packet holder did not start")
        self.prefix = ["nsenter", f"--net=/proc/{self._holder.pid}/ns/net", "--"]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._holder is not None:
            self._holder.kill()
            self._holder.wait()
            assert self._holder.stdout is not None
            self._holder.stdout.close()

    def cpu(self) -> float:
        """Return the seconds of CPU the packet holder has used: a sign of whether it was in the way."""
        assert self._holder is not None
        fields = Path(f"/proc/{self._holder.pid}/stat").read_text(encoding="ascii").split()
        return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


# ---------------------------------------------------------------- the holder's side


def _leave_network() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        raise NotPossible(f"no network namespace: {os.strerror(ctypes.get_errno())}")


def _run(*command: str, inside: str | None = None) -> None:
    """Run a tool, here or in the namespace that the path names; CalledProcessError when it fails."""
    prefix = ["nsenter", f"--net={inside}", "--"] if inside else []
    subprocess.run(
        [*prefix, *debian.tool(command[0]), *command[1:]], check=True, capture_output=True
    )


def _ip(*arguments: str, inside: str | None = None) -> None:
    _run("ip", *arguments, inside=inside)


def _join(device: str, own: str, other: str) -> None:
    """Reach the other end's address through the device."""
    _ip("link", "set", device, "mtu", "1500", "txqueuelen", "10000", "up")
    if own != HERE:
        _ip("address", "add", f"{own}/32", "dev", device)
    _ip("route", "add", other, "dev", device, "src", own)


def _hold_by_netem(one_way: float) -> bool:
    """Join both namespaces by a veth pair under netem, and be in the far one; False without netem."""
    netem = ("root", "netem", "delay", f"{one_way * 1000}ms", "limit", "100000")
    home = f"/proc/{os.getppid()}/ns/net"
    try:
        _ip("link", "add", "far0", "type", "veth", "peer", "name", "far1")
    except subprocess.CalledProcessError:
        return False
    try:
        _run("tc", "qdisc", "add", "dev", "far0", *netem)
    except subprocess.CalledProcessError:
        _ip("link", "delete", "far0")
        return False
    _join("far0", HERE, THERE)
    _leave_network()
    _ip("link", "set", "far1", "netns", str(os.getpid()), inside=home)
    _join("far1", THERE, HERE)
    _run("tc", "qdisc", "add", "dev", "far1", *netem)  # moving a device takes its qdisc away
    return True


def _hold_by_tun() -> tuple[int, int]:
    """Make a tun device in each namespace, and be in the far one; return both."""
    near = _open_tun("far0")
    _join("far0", HERE, THERE)
    _leave_network()
    far = _open_tun("far1")
    _join("far1", THERE, HERE)
    return near, far


def _open_tun(name: str) -> int:
    try:
        tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    except OSError as exc:
        raise NotPossible(f"neither netem nor /dev/net/tun: {exc.strerror}") from exc
    flags = _IFF_TUN | _IFF_NO_PI | _IFF_VNET_HDR
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    fcntl.ioctl(tun, _TUNSETOFFLOAD, _TUN_F_CSUM | _TUN_F_TSO4 | _TUN_F_TSO6)
    return tun


def _carry(one: int, other: int, one_way: float) -> None:
    """Hand every packet of each side to the other, `one_way` seconds later, for ever."""
    opposite = {one: other, other: one}
    held: deque[tuple[float, int, bytes]] = deque()
    while True:
        patience = max(0.0, held[0][0] - time.monotonic()) if held else None
        readable, _, _ = select.select([one, other], [], [], patience)
        now = time.monotonic()
        for source in readable:
            for _ in range(64):
                try:
                    held.append((now + one_way, opposite[source], os.read(source, _LARGEST)))
                except BlockingIOError:
                    break
        while held and held[0][0] <= now:
            _, target, packet = held.popleft()
            os.write(target, packet)


def _main(round_trip: float) -> None:
    one_way = round_trip / 2
    if _hold_by_netem(one_way):
        _ip("link", "set", "lo", "up")
        print("ready netem", flush=True)
        signal.pause()
    ends = _hold_by_tun()
    _ip("link", "set", "lo", "up")
    print("ready a packet-holding program between two tun devices (no netem)", flush=True)
    _carry(*ends, one_way)


if __name__ == "__main__":
    try:
        _main(float(sys.argv[1]))
    except (NotPossible, OSError, subprocess.CalledProcessError) as exc:
        print("failed", exc, flush=True)
