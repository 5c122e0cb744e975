"""How long a large configuration takes: `python -m tests.bench.configuration [MAILBOXES]`.

Not a comparison with anybody; it only shows when loading has become slow.
"""

import sys
import tempfile
import time
from pathlib import Path

from syncd.config.load import load_settings
from syncd.config.resolve import resolve
from tests.support.configuration import KEY_LINE, PROFILE, written

KEY = "encryption: {keys: [{env: KEY}]}\n"


def main(mailboxes: int) -> None:
    """Write, load and resolve a configuration of so many mailboxes; print the times."""
    text = "".join(
        f"  - address: user{n}@contoso.com\n"
        f"    name: User {n}\n"
        f"    owner: boss{n % 100}@contoso.com\n"
        f"    credentials: {{username: user{n}, password: {{encrypted: 'v1:{n:064}'}}}}\n"
        for n in range(mailboxes)
    )
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), f"{KEY}{PROFILE}mailboxes:\n{text}")
        began = time.monotonic()
        settings = load_settings(path, environ={"KEY": KEY_LINE})
        loaded = time.monotonic()
        plan = resolve(settings)
        resolved = time.monotonic()
        print(
            f"{len(plan.mailboxes)} mailboxes, {path.stat().st_size / 1e6:.1f} MB:"
            f" loaded in {loaded - began:.2f} s, resolved in {resolved - loaded:.2f} s"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
