"""A pytest plugin for runs under coverage: what a test walks is noted under the name of its file."""

import coverage
import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> object:
    """Name the context before a test's fixtures run; what runs at import has none."""
    measuring = coverage.Coverage.current()
    assert measuring is not None, "this plugin belongs to `coverage run -m pytest`"
    measuring.switch_context(str(item.path))
    return (yield)
