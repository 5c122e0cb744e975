"""A real Dovecot (POP3, IMAP, LMTP, SASL for Postfix) of the test's own, on loopback."""

import hashlib
import itertools
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.servers.certificates import Authority, Certificate
from tests.servers.debian import USERS
from tests.servers.process import (
    Folder,
    ServerFailed,
    ServerProcess,
    free_ports,
    is_listening,
    keep_log,
)

HOST = "127.0.0.1"
# To Dovecot a connection within one address is as good as encrypted. A client reaches 127.0.0.2
# from 127.0.0.1: two addresses, so there the password really is refused before STLS.
STRICT_HOST = "127.0.0.2"
OWNER = (USERS["vmail"], USERS["vmail"])


@dataclass(frozen=True, slots=True)
class User:
    """A mailbox of the server and how to log in to it."""

    address: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DovecotOptions:
    """What a test may want to be different; `extra` is added to the configuration as it stands."""

    pop3_uidl_format: str = "%08Xu%08Xv"
    pop3_lock_session: bool = False
    pop3_no_flag_updates: bool = True
    mail_max_userip_connections: int = 50
    auth_mechanisms: tuple[str, ...] = (
        "plain",
        "login",
        "cram-md5",
        "apop",
        "scram-sha-1",
        "scram-sha-256",
    )
    master_user: User | None = None
    extra: str = ""


@dataclass(frozen=True, slots=True)
class DovecotPorts:
    """Where the server listens: all on 127.0.0.1, `strict` ones on 127.0.0.2."""

    pop3: int  # plain login allowed, STLS offered
    pop3s: int
    pop3_strict: int  # refuses logins before STLS
    imap: int
    imaps: int
    lmtp: int


class Dovecot:
    """A Dovecot server; start it with `with Dovecot(root) as server:`.

    Users and messages can be added while it runs. The server's folder is gone when it stops.
    """

    def __init__(
        self,
        root: Path,
        options: DovecotOptions | None = None,
        *,
        authority: Authority | None = None,
        certificate: Certificate | None = None,
    ) -> None:
        self.options = options or DovecotOptions()
        self.authority = authority or Authority()
        self.host = HOST
        self.strict_host = STRICT_HOST
        self._certificate = certificate or self.authority.good()
        self._folder = Folder(root, "dovecot")
        self._folder.make("users")
        self._folder.make("mail", OWNER, 0o700)
        self._folder.make("run")
        self._folder.write("users.map", "")
        self._addresses: set[str] = set()
        self._numbers = itertools.count(1)
        self._process: ServerProcess | None = None
        self.ports = DovecotPorts(0, 0, 0, 0, 0, 0)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------ the process

    @property
    def log(self) -> Path:
        """Return the log file: every login, every disconnect, every error."""
        return self._folder.path / "dovecot.log"

    @property
    def auth_socket(self) -> Path:
        """Return the SASL socket, as a Postfix in the same private root sees it."""
        return self._folder.inside / "run" / "auth-postfix"

    @property
    def process(self) -> ServerProcess:
        """Return the running process: to freeze it and thaw it."""
        if self._process is None:
            raise ServerFailed("not started")
        return self._process

    @property
    def user_map(self) -> Path:
        """Return the table of all users for a Postfix in the same private root."""
        return self._folder.inside / "users.map"

    def start(self) -> None:
        """Choose free ports and start; a port taken meanwhile by someone else is given up for another."""
        for attempt in range(3):
            self.ports = DovecotPorts(*free_ports(6))
            try:
                self._launch()
            except ServerFailed:
                if attempt == 2 or b"Address already in use" not in self.log.read_bytes():
                    keep_log(self.log)
                    raise
            else:
                return

    def restart(
        self, options: DovecotOptions | None = None, certificate: Certificate | None = None
    ) -> None:
        """Start again on the same ports with the same mail; with other options when given."""
        self.stop()
        self.options = options or self.options
        self._certificate = certificate or self._certificate
        self._launch()

    def stop(self) -> None:
        """Stop the server but keep its mail."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def close(self, *, keep: bool = False) -> None:
        """Stop the server and remove its folder; `keep` saves the log to .cache/servers."""
        if self._process is not None:
            self._process.kill()
            self._process = None
        if keep:
            keep_log(self.log)
        self._folder.remove()

    def _launch(self) -> None:
        self._folder.write("tls.pem", self._certificate.chain)
        self._folder.write("tls.key", self._certificate.key, 0o600)
        self._write_masters()
        self._folder.write("users.conf", self._user_lookup())
        configuration = self._folder.write("dovecot.conf", self._configuration())
        self._process = ServerProcess(
            self._folder.root, ["/usr/sbin/dovecot", "-F", "-c", configuration], self.log
        )
        self._process.wait_until(lambda: is_listening(self.ports.pop3))

    # ------------------------------------------------------------ users and mail

    def add_user(self, address: str, password: str = "sesame") -> User:
        """Make a mailbox, or give an existing one another password."""
        known = (
            address.lower()
        )  # Dovecot asks for users in lower case, however they are written
        for name in ("", "Maildir", "Maildir/cur", "Maildir/new", "Maildir/tmp"):
            self._folder.make(f"mail/{known}/{name}", OWNER, 0o700)
        # A passwd-file would be looked at once a second at most: too late for a new password.
        self._folder.write(f"users/{known}", json.dumps({"password": f"{{PLAIN}}{password}"}))
        self._addresses.add(known)
        self._folder.write(
            "users.map", "".join(f"{each} x\n" for each in sorted(self._addresses))
        )
        return User(address, password)

    def deliver(self, user: User | str, message: bytes) -> str:
        """Put exactly these bytes into the maildrop, no header added; return the Maildir name.

        Dovecot serves them with CRLF and an end of line at the end: see `as_served`.
        """
        maildir = self.maildir(user)
        # Dovecot numbers new messages by the time in their names.
        number = next(self._numbers)
        name = f"{1_700_000_000 + number // 1_000_000}.M{number % 1_000_000:06d}P{os.getpid()}.syncd"
        name += f",S={len(message)},W={virtual_size(message)}"
        written = maildir / "tmp" / name
        written.write_bytes(message)
        os.chown(written, *OWNER)
        written.rename(maildir / "new" / name)
        return name

    def deliver_all(self, user: User | str, messages: Iterable[bytes]) -> int:
        """Deliver in order and return how many."""
        return sum(1 for message in messages if self.deliver(user, message))

    def maildrop(self, user: User | str) -> list[bytes]:
        """Return the bytes of every message the server still holds, in order of arrival."""
        maildir = self.maildir(user)
        files = [path for name in ("new", "cur") for path in (maildir / name).iterdir()]
        return [path.read_bytes() for path in sorted(files, key=_arrival)]

    def expunge(self, user: User | str, message: bytes) -> None:
        """Remove a message behind the server's back, as another client or an administrator would."""
        for name in ("new", "cur"):
            for path in (self.maildir(user) / name).iterdir():
                if path.read_bytes() == message:
                    path.unlink()
                    return
        raise LookupError("no such message in the maildrop")

    def maildir(self, user: User | str) -> Path:
        """Return the user's Maildir as this process sees it."""
        address = user if isinstance(user, str) else user.address
        return self._folder.path / "mail" / address.lower() / "Maildir"

    # ------------------------------------------------------------ the configuration

    def _write_masters(self) -> None:
        master = self.options.master_user
        line = f"{master.address}:{{PLAIN}}{master.password}::::::\n" if master else ""
        self._folder.write("masters", line)

    def _user_lookup(self) -> str:
        return f"""
uri = fs:posix:prefix={self._folder.inside}/users/
key passdb {{
  key = %Lu
  format = json
}}
passdb_objects = passdb
"""

    def _configuration(self) -> str:
        own, ports, options = self._folder.inside, self.ports, self.options
        return f"""
base_dir = {own}/run
state_dir = {own}/run
log_path = {own}/dovecot.log
auth_verbose = yes
protocols = pop3 imap lmtp
listen = {HOST}
default_internal_user = dovecot
default_internal_group = dovecot
default_login_user = dovenull
default_vsz_limit = 1G
default_process_limit = 200
ssl = yes
ssl_cert = <{own}/tls.pem
ssl_key = <{own}/tls.key
disable_plaintext_auth = yes
local {STRICT_HOST} {{
  ssl = required
}}

mail_location = maildir:~/Maildir
mail_save_crlf = yes
mail_fsync = never
maildir_very_dirty_syncs = no
first_valid_uid = {OWNER[0]}

auth_mechanisms = {" ".join(options.auth_mechanisms)}
auth_master_user_separator = *
auth_failure_delay = 0
passdb {{
  driver = passwd-file
  args = {own}/masters
  master = yes
  result_success = continue
}}
passdb {{
  driver = dict
  args = {own}/users.conf
}}
userdb {{
  driver = static
  args = uid={OWNER[0]} gid={OWNER[1]} home={own}/mail/%Lu
}}

protocol pop3 {{
  mail_max_userip_connections = {options.mail_max_userip_connections}
  pop3_uidl_format = {options.pop3_uidl_format}
  pop3_lock_session = {_yes(options.pop3_lock_session)}
  pop3_no_flag_updates = {_yes(options.pop3_no_flag_updates)}
}}
protocol imap {{
  mail_max_userip_connections = {options.mail_max_userip_connections}
}}
protocol lmtp {{
  mail_fsync = optimized
}}

service pop3-login {{
  service_count = 0
  inet_listener pop3 {{
    port = {ports.pop3}
  }}
  inet_listener pop3s {{
    port = {ports.pop3s}
    ssl = yes
  }}
  inet_listener pop3_strict {{
    address = {STRICT_HOST}
    port = {ports.pop3_strict}
  }}
}}
service imap-login {{
  service_count = 0
  inet_listener imap {{
    port = {ports.imap}
  }}
  inet_listener imaps {{
    port = {ports.imaps}
    ssl = yes
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {ports.lmtp}
  }}
}}
service auth {{
  unix_listener auth-postfix {{
    mode = 0666
  }}
}}
# Every client here is 127.0.0.1: one test's wrong password would slow down all logins.
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
{options.extra}
"""


def as_served(message: bytes) -> bytes:
    """Return the message as Dovecot's POP3 hands it out: bare LF as CRLF, ending with a line's end."""
    served = re.sub(rb"(?<!\r)\n", b"\r\n", message)
    return served if served.endswith(b"\n") else served + b"\r\n"


def virtual_size(message: bytes) -> int:
    """Return the octets Dovecot counts: every line's end as two."""
    return len(message) + message.count(b"\n") - message.count(b"\r\n")


def digest(message: bytes) -> str:
    """Return the SHA-256 by which ledgers compare messages."""
    return hashlib.sha256(message).hexdigest()


def _arrival(path: Path) -> tuple[int, str]:
    return int(path.name.split(".")[0]), path.name.split(".", 1)[1]


def _yes(value: bool) -> str:
    return "yes" if value else "no"
