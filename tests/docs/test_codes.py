"""Every code of a failure or an alert is explained, and explained as the code has it."""

import inspect
import re

from syncd.alerts import texts
from tests.docs.codes import PAGE, page, rows


def test_the_page_of_codes_says_what_the_code_says() -> None:
    assert PAGE.read_text("utf-8") == page(), "write it anew: python -m tests.docs.codes"


def test_every_alert_that_names_its_own_code_is_on_the_page() -> None:
    own = set(re.findall(r'code="([a-z_]+)"', inspect.getsource(texts)))
    assert own, "the codes of alerts are not found any more"
    assert own <= {row.code for row in rows()}


def test_every_row_is_complete() -> None:
    assert [row for row in rows() if not (row.code and row.cause and row.remedy)] == []
