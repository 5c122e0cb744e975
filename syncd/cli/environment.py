"""The one place of the command line that looks at the process environment."""

import os
from collections.abc import Mapping


def environment() -> Mapping[str, str]:
    """Return the environment as it is now."""
    return dict(os.environ)
