"""What one value may look like."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncd.config import values
from syncd.config.values import Unfit
from syncd.model.profile import BEGINNING

DAY = timedelta(days=1)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
PARSERS: list[Callable[[object], object]] = [
    values.parse_text,
    values.parse_flag,
    lambda value: values.parse_whole(value, least=0, most=10),
    lambda value: values.parse_duration(value, least=timedelta(0), most=100 * DAY),
    values.parse_polling_interval,
    lambda value: values.parse_size(value, least=0, most=1 << 40),
    values.parse_rate,
    values.parse_process_email_from,
    values.parse_server,
    values.parse_ip_address,
    values.parse_address,
    values.parse_instance,
    values.parse_path,
    values.parse_socket_path,
    values.parse_store_url,
    values.parse_allowed_ports,
    values.parse_include,
    values.parse_no_synchronization,
    values.parse_delete_after_processing,
    values.parse_pin,
    values.parse_impersonation,
]


@given(st.sampled_from(PARSERS), ANYTHING)
def test_whatever_is_written_is_taken_or_refused(
    parse: Callable[[object], object], value: object
) -> None:
    with suppress(Unfit):
        parse(value)


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=9999)))
def test_a_duration_is_read_back_as_it_was_written(duration: timedelta) -> None:
    whole = timedelta(seconds=int(duration.total_seconds()))
    written = values.format_duration(whole)
    assert values.parse_duration(written, least=timedelta(0), most=10_000 * DAY) == whole


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("10s", timedelta(seconds=10)),
        ("5m", timedelta(minutes=5)),
        ("1h30m", timedelta(minutes=90)),
        ("2d", 2 * DAY),
        ("90s", timedelta(seconds=90)),
        ("1d2h3m4s", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        ("0s", timedelta(0)),
    ],
)
def test_durations_mean_what_they_say(text: str, duration: timedelta) -> None:
    assert values.parse_duration(text, least=timedelta(0), most=10 * DAY) == duration


@pytest.mark.parametrize(
    "text", ["", "5", "m", "5 m", "-5m", "1.5h", "5m1h", "5M", "5ms", "\u0665m"]
)
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(Unfit, match="must be a duration"):
        values.parse_duration(text, least=timedelta(0), most=10 * DAY)


@given(st.integers(0, 1440))
def test_a_bare_number_is_a_polling_interval_in_minutes(minutes: int) -> None:
    assert values.parse_polling_interval(minutes) == timedelta(minutes=minutes)


@pytest.mark.parametrize("wrong", [-1, 1441, True, 2.5, "9s", "25h", "5", None])
def test_other_polling_intervals_are_refused(wrong: object) -> None:
    with pytest.raises(Unfit, match="minutes from 0 to 1440"):
        values.parse_polling_interval(wrong)


@given(st.integers(0, (1 << 40) - 1))
@example(1 << 30)
@example(1536)
def test_a_size_is_read_back_as_it_was_written(octets: int) -> None:
    written = values.format_size(octets)
    assert values.parse_size(written, least=0, most=1 << 40) == octets


@pytest.mark.parametrize("text", ["", "256", "256 MiB", "256mib", "1.5GiB", "-1KiB", "256MB"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(Unfit, match="must be a size"):
        values.parse_size(text, least=0, most=1 << 40)


@given(st.integers(1, 10**9 - 1), st.integers(1, 10**6))
def test_a_rate_is_read_back_as_it_was_written(count: int, seconds: int) -> None:
    rate = values.Rate(count, timedelta(seconds=seconds))
    assert values.parse_rate(values.format_rate(rate)) == rate


@pytest.mark.parametrize("text", ["20", "20/s", "0/1s", "20/0s", "/1s", "20/1s/2", 20])
def test_other_rates_are_refused(text: object) -> None:
    with pytest.raises(Unfit, match="must be a rate"):
        values.parse_rate(text)


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_moment_is_read_back_as_it_was_written(moment: datetime) -> None:
    assert values.parse_process_email_from(values.format_process_email_from(moment)) == moment


def test_a_moment_is_kept_in_utc() -> None:
    assert values.parse_process_email_from("2026-06-01T00:30:00+02:00") == datetime(
        2026, 5, 31, 22, 30, tzinfo=UTC
    )


def test_all_is_earlier_than_every_mail() -> None:
    assert values.parse_process_email_from("all") == BEGINNING
    assert values.format_process_email_from(BEGINNING) == "all"


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-13-01T00:00:00Z",
        "0001-01-01T00:00:00+05:00",
        "2026-W01-1T00:00:00Z",
        "20260101T000000Z",
        "now",
        20260101,
    ],
)
def test_other_moments_are_refused(text: object) -> None:
    with pytest.raises(Unfit, match="date and time with its zone"):
        values.parse_process_email_from(text)


@pytest.mark.parametrize(
    "address",
    [
        "ann@contoso.com",
        "ann.o'neill+crm@mail.contoso.co.uk",
        "ann@localhost",
        "änn@bücher.example",
        "a" * 64 + "@contoso.com",
    ],
)
def test_addresses_are_taken_as_they_are(address: str) -> None:
    assert values.parse_address(address) == address


@pytest.mark.parametrize(
    "wrong",
    [
        "ann",
        "@contoso.com",
        "ann@",
        "ann@@contoso.com",
        "ann contoso@contoso.com",
        "Ann <ann@contoso.com>",
        "ann@contoso..com",
        "ann@-contoso.com",
        "ann@contoso.com\r\nRCPT TO:<x@y>",
        "ann@contoso.com\n",
        "a" * 65 + "@contoso.com",
        f"ann@{'c' * 60}.{'c' * 60}.{'c' * 60}.{'c' * 60}.example",
        "ann,ben@contoso.com",
        7,
    ],
)
def test_what_is_no_address_is_refused(wrong: object) -> None:
    with pytest.raises(Unfit, match="must be an email address"):
        values.parse_address(wrong)


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("pop3.contoso.com", "pop3.contoso.com"),
        ("pop3.contoso.com.", "pop3.contoso.com"),
        ("localhost", "localhost"),
        ("mail_1.contoso.com", "mail_1.contoso.com"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("bücher.example", "bücher.example"),
    ],
)
def test_servers_are_names_or_addresses(text: str, server: str) -> None:
    assert values.parse_server(text) == server


@pytest.mark.parametrize(
    "wrong",
    ["", " ", "pop3.contoso.com:995", "pop3s://pop3.contoso.com", "a b", "-a.com", ".", "a..b"],
)
def test_what_is_no_server_is_refused(wrong: str) -> None:
    with pytest.raises(Unfit):
        values.parse_server(wrong)


@pytest.mark.parametrize(
    ("template", "login"),
    [
        ("{address}*{username}", "ann@contoso.com*master"),
        ("{local_part}%{domain}#{username}", "ann%contoso.com#master"),
        ("{address}", "ann@contoso.com"),
    ],
)
def test_impersonation_makes_a_login(template: str, login: str) -> None:
    parsed = values.parse_impersonation(template)
    filled = values.fill_impersonation(parsed, address="ann@contoso.com", username="master")
    assert filled == login


def test_impersonation_fills_in_once_only() -> None:
    filled = values.fill_impersonation(
        "{address}*{username}", address="{username}@x", username="{address}"
    )
    assert filled == "{username}@x*{address}"


@pytest.mark.parametrize("wrong", ["{username}", "{user}*{address}", "{address", "{}", "x", 5])
def test_other_impersonations_are_refused(wrong: object) -> None:
    with pytest.raises(Unfit):
        values.parse_impersonation(wrong)


def test_a_pin_is_kept_without_colons_in_lower_case() -> None:
    assert values.parse_pin(":".join(["AB"] * 32)) == "ab" * 32


@pytest.mark.parametrize(
    ("written", "ports"),
    [("us-government", (80, 443, 465, 995)), ([110, 25], (110, 25))],
)
def test_ports_are_a_list_or_a_preset(written: object, ports: tuple[int, ...]) -> None:
    assert values.parse_allowed_ports(written).ports == ports


@pytest.mark.parametrize("shown", ["x" * 61, {"password": "geheim"}, ["geheim"]])
def test_a_wrong_value_is_repeated_in_part_or_not_at_all(shown: object) -> None:
    assert len(values.found(shown)) < 80
    assert "geheim" not in values.found(shown)


@pytest.mark.parametrize("secret", ["geheim", {"geheim": 1}, ["geheim"], 12345])
def test_the_kind_of_a_value_says_nothing_of_it(secret: object) -> None:
    assert "geheim" not in values.found_kind(secret)
    assert "12345" not in values.found_kind(secret)
