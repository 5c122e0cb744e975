"""mpop: POP3 with pipelining, into a Maildir, an fsync for each message. The peer most goals name."""

from collections.abc import Iterator

from tests.bench import measure
from tests.bench.measure import Usage
from tests.bench.peers.programs import maildir_messages
from tests.bench.stage import Job
from tests.servers import debian


class Mpop:
    """mpop as Debian packs it."""

    name = "mpop"

    def prepare(self, job: Job) -> None:
        """Write one account for each mailbox."""
        lines = [
            "defaults",
            f"host {job.reach.host}",
            f"port {job.reach.pop(tls=job.tls)}",
            "auth user",
            "keep on",
            "received_header off",
            f"tls {'on' if job.tls else 'off'}",
            "tls_starttls off",
            f"tls_trust_file {job.authority}",
        ]
        for number, user in enumerate(job.users):
            maildir = job.folder / "mail" / str(number)
            for name in ("new", "cur", "tmp"):
                (maildir / name).mkdir(parents=True)
            lines += [
                f"account a{number}",
                f"user {user.address}",
                f"password {user.password}",
                f"uidls_file {job.folder / f'uidls.{number}'}",
                f"delivery maildir {maildir}",
            ]
        configuration = job.folder / "mpoprc"
        configuration.write_text("\n".join(lines) + "\n", encoding="ascii")
        configuration.chmod(0o600)

    def pull(self, job: Job) -> Usage:
        """Run it over all accounts."""
        program = debian.unpacked_tool("mpop")
        command = [*job.reach.prefix, *program, f"--file={job.folder / 'mpoprc'}", "-a", "-q"]
        return measure.run(command, folder=job.folder)

    def stored(self, job: Job) -> Iterator[bytes]:
        """Read the Maildirs."""
        return maildir_messages(job.folder / "mail")
