"""fetchmail: POP3, one command at a time, into a batched SMTP file: the fastest it can do."""

from collections.abc import Iterator

from tests.bench import measure
from tests.bench.measure import Usage
from tests.bench.peers.programs import bsmtp_messages
from tests.bench.stage import Job
from tests.servers import debian


class Fetchmail:
    """fetchmail as Debian packs it."""

    name = "fetchmail"

    def prepare(self, job: Job) -> None:
        """Write one poll entry for each mailbox."""
        lines = ["set invisible", "set no bouncemail", "set no syslog"]
        # It compares names only, not addresses. Plain, it would turn to TLS by itself (STLS).
        checked = f"ssl sslcertck sslcertfile {job.authority} sslcommonname localhost"
        tls = checked if job.tls else "sslproto ''"
        port = job.reach.pop(tls=job.tls)
        for number, user in enumerate(job.users):
            lines += [
                f"poll bench{number} via {job.reach.host} protocol pop3 port {port} uidl",
                f'  user "{user.address}" password "{user.password}" is "reader" here',
                f'  keep no rewrite bsmtp "{job.folder / "batch"}" {tls}',
            ]
        configuration = job.folder / "fetchmailrc"
        configuration.write_text("\n".join(lines) + "\n", encoding="ascii")
        configuration.chmod(0o600)

    def pull(self, job: Job) -> Usage:
        """Run it once over all entries; status 1 means that there was nothing new."""
        command = [
            *job.reach.prefix,
            *debian.unpacked_tool("fetchmail"),
            *("-f", str(job.folder / "fetchmailrc"), "-i", str(job.folder / "idfile")),
            *("--pidfile", str(job.folder / "pid"), "--silent", "--nosyslog"),
        ]
        return measure.run(command, folder=job.folder, accepted=frozenset({0, 1}))

    def stored(self, job: Job) -> Iterator[bytes]:
        """Read the batch."""
        return bsmtp_messages(job.folder / "batch")
