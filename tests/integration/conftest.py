"""What every integration test may ask for: the real servers."""

from tests.servers.fixtures import (
    authority,
    dovecot,
    new_user,
    postfix,
    servers_root,
    start_dovecot,
    start_postfix,
    user,
)

__all__ = [
    "authority",
    "dovecot",
    "new_user",
    "postfix",
    "servers_root",
    "start_dovecot",
    "start_postfix",
    "user",
]
