"""A client that only counts bytes: what a single POP3 session can give, so what nobody can beat.

    python -m tests.bench.limit HOST PORT USER PASSWORD [--ca FILE] [--window N]

It pipelines RETR with a window of N messages, keeps nothing, and prints messages and octets.
"""

import argparse
import socket
import ssl
import sys

_CHUNK = 1 << 18


def connect(host: str, port: int, authority: str | None) -> socket.socket:
    """Connect, with TLS when an authority is named."""
    connection = socket.create_connection((host, port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if authority is None:
        return connection
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority)
    return context.wrap_socket(connection, server_hostname=host)


def log_in(connection: socket.socket, user: str, password: str) -> int:
    """Log in and return the number of messages."""
    answer = b""
    for command in (None, f"USER {user}", f"PASS {password}", "STAT"):
        if command is not None:
            connection.sendall(command.encode() + b"\r\n")
        answer = _line(connection)
    return int(answer.split()[1])


def pull(connection: socket.socket, messages: int, window: int) -> int:
    """Retrieve everything and return the octets that came."""
    asked = min(window, messages)
    connection.sendall(b"".join(b"RETR %d\r\n" % n for n in range(1, asked + 1)))
    done = octets = 0
    tail = b""
    while done < messages:
        chunk = connection.recv(_CHUNK)
        if not chunk:
            raise ConnectionError("the server closed the connection")
        octets += len(chunk)
        searched = tail + chunk
        ended = searched.count(b"\r\n.\r\n")
        tail = searched[-4:]
        done += ended
        more = min(asked + ended, messages)
        if more > asked:
            connection.sendall(b"".join(b"RETR %d\r\n" % n for n in range(asked + 1, more + 1)))
            asked = more
    return octets


def look(host: str, port: int, user: str, password: str) -> int:
    """Log in, list sizes and identifiers, and leave: afterwards the server has its indexes."""
    with connect(host, port, None) as connection:
        messages = log_in(connection, user, password)
        for command in (b"UIDL\r\n", b"LIST\r\n"):
            connection.sendall(command)
            _until_dot(connection)
        connection.sendall(b"QUIT\r\n")
        _line(connection)
    return messages


def _line(connection: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\r\n"):
        octet = connection.recv(4096)
        if not octet:
            raise ConnectionError("the server closed the connection")
        line += octet
    if not line.startswith(b"+OK"):
        raise ConnectionError(line.decode(errors="replace"))
    return line


def _until_dot(connection: socket.socket) -> None:
    got = b""
    while not got.endswith(b"\r\n.\r\n"):
        chunk = connection.recv(_CHUNK)
        if not chunk:
            raise ConnectionError("the server closed the connection")
        got = got[-5:] + chunk


def main() -> None:
    """Pull one mailbox and say how much came."""
    parser = argparse.ArgumentParser()
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("user")
    parser.add_argument("password")
    parser.add_argument("--ca")
    parser.add_argument("--window", type=int, default=1000)
    chosen = parser.parse_args()
    with connect(chosen.host, chosen.port, chosen.ca) as connection:
        messages = log_in(connection, chosen.user, chosen.password)
        octets = pull(connection, messages, chosen.window)
        connection.sendall(b"QUIT\r\n")
    sys.stdout.write(f"{messages} messages, {octets} octets\n")


if __name__ == "__main__":
    main()
