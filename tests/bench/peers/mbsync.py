"""mbsync (isync): IMAP into a Maildir, with an fsync for each message and without."""

from collections.abc import Iterator

from tests.bench import measure
from tests.bench.measure import Usage
from tests.bench.peers.programs import maildir_messages
from tests.bench.stage import Job
from tests.servers import debian


class Mbsync:
    """mbsync as Debian packs it."""

    def __init__(self, *, fsync: bool) -> None:
        self.name = "mbsync" if fsync else "mbsync-nofsync"
        self._fsync = fsync

    def prepare(self, job: Job) -> None:
        """Write one channel for each mailbox."""
        (job.folder / "mail").mkdir()
        (job.folder / "state").mkdir()
        lines = [f"FSync {'yes' if self._fsync else 'no'}", ""]
        for number, user in enumerate(job.users):
            lines += [
                f"IMAPAccount a{number}",
                f"Host {job.reach.host}",
                f"Port {job.reach.mail(tls=job.tls)}",
                f"User {user.address}",
                f"Pass {user.password}",
                "AuthMechs LOGIN",
                f"SSLType {'IMAPS' if job.tls else 'None'}",
                *([f"CertificateFile {job.authority}"] if job.tls else []),
                "",
                f"IMAPStore far{number}",
                f"Account a{number}",
                "",
                f"MaildirStore near{number}",
                f"Inbox {job.folder}/mail/{number}",
                "",
                f"Channel c{number}",
                f"Far :far{number}:",
                f"Near :near{number}:",
                "Create Near",
                "Sync PullNew",
                f"SyncState {job.folder}/state/{number}.",
                "",
            ]
        (job.folder / "mbsyncrc").write_text("\n".join(lines) + "\n", encoding="ascii")

    def pull(self, job: Job) -> Usage:
        """Run it over all channels."""
        program = debian.unpacked_tool("mbsync")
        command = [*job.reach.prefix, *program, "-c", str(job.folder / "mbsyncrc"), "-a", "-q"]
        return measure.run(command, folder=job.folder)

    def stored(self, job: Job) -> Iterator[bytes]:
        """Read the Maildirs."""
        return maildir_messages(job.folder / "mail")
