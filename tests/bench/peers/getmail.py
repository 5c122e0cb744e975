"""getmail6: POP3 in Python, into a Maildir. It refuses to deliver as root, so it runs as a user."""

import os
from collections.abc import Iterator

from tests.bench import measure
from tests.bench.measure import Usage
from tests.bench.peers.programs import maildir_messages
from tests.bench.stage import Job
from tests.servers import debian

_USER = debian.USERS["peer"]


class Getmail:
    """getmail6 as Debian packs it, with Debian's Python, in the private root."""

    name = "getmail"

    def prepare(self, job: Job) -> None:
        """Write one configuration file for each mailbox."""
        job.folder.chmod(0o755)
        os.chown(job.folder, _USER, _USER)
        kind = "SimplePOP3SSLRetriever" if job.tls else "SimplePOP3Retriever"
        for number, user in enumerate(job.users):
            maildir = job.folder / "mail" / str(number)
            for folder in (
                maildir.parent,
                maildir,
                *(maildir / n for n in ("new", "cur", "tmp")),
            ):
                folder.mkdir(parents=True, exist_ok=True)
                os.chown(folder, _USER, _USER)
            lines = [
                "[retriever]",
                f"type = {kind}",
                f"server = {job.reach.host}",
                f"port = {job.reach.pop(tls=job.tls)}",
                f"username = {user.address}",
                f"password = {user.password}",
                *([f"ca_certs = {job.inside(job.authority)}"] if job.tls else []),
                "[destination]",
                "type = Maildir",
                f"path = {job.inside(maildir)}/",
                "[options]",
                "verbose = 0",
                "read_all = false",
                "delete = false",
                "received = false",
                "delivered_to = false",
            ]
            path = job.folder / f"rc{number}"
            path.write_text("\n".join(lines) + "\n", encoding="ascii")
            os.chown(path, _USER, _USER)

    def pull(self, job: Job) -> Usage:
        """Run it once with all configuration files."""
        command = [
            *job.reach.prefix,
            *("chroot", f"--userspec={_USER}:{_USER}", str(debian.ROOT)),
            *("/usr/bin/getmail", f"--getmaildir={job.inside(job.folder)}"),
            *(f"--rcfile=rc{number}" for number in range(len(job.users))),
        ]
        return measure.run(command, folder=job.folder)

    def stored(self, job: Job) -> Iterator[bytes]:
        """Read the Maildirs."""
        return maildir_messages(job.folder / "mail")
