"""The limit: a client that keeps nothing, with a window of 1,000 messages."""

from collections.abc import Iterator

from tests.bench import measure
from tests.bench.measure import Usage
from tests.bench.stage import Job, own_environment, own_python


class ByteCounter:
    """tests.bench.limit as a program; for one mailbox only."""

    name = "byte counter"

    def prepare(self, job: Job) -> None:
        """Do nothing."""

    def pull(self, job: Job) -> Usage:
        """Read everything and throw it away."""
        (user,) = job.users
        port = job.reach.pop(tls=job.tls)
        command = [
            *(*job.reach.prefix, *own_python(), "tests.bench.limit"),
            *(job.reach.host, str(port), user.address, user.password),
            *(["--ca", str(job.authority)] if job.tls else []),
        ]
        return measure.run(command, folder=job.folder, environment=own_environment())

    def stored(self, job: Job) -> Iterator[bytes] | None:
        """Keep nothing."""
        return None
