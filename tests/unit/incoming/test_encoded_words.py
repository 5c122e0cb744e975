"""RFC 2047 words become characters, whatever else they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.incoming.encoded_words import decode_words


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        ("plain", "plain"),
        ("=?utf-8?q?gr=C3=BCn?=", "grün"),
        ("=?UTF-8?B?Z3LDvG4=?= <a@x>", "grün <a@x>"),
        ("=?utf-8?b?Z3LDvG4?=", "grün"),
        ("=?utf-8*de?q?ja?=", "ja"),
        ("=?utf-8?q?a_b?= c =?utf-8?q?d?=", "a b c d"),
        ("=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        ("=?utf-8?q?a?= =?iso-8859-1?q?=FC?=", "aü"),
        # A character cut in two, as real programs do.
        ("=?utf-8?q?=C3?= =?utf-8?q?=BC?=", "ü"),
        ("=?nonsense?q?=FC?=", "ü"),
        ("=?hex?q?ab?=", "ab"),
        ("=?utf-8?q?=ZZ?=", "=ZZ"),
        ("=?utf-8?b?a?=", "a"),
        ("=?utf-7?q?+2D0-?=", "?"),
        ("=?utf-8?x?a?=", "=?utf-8?x?a?="),
        ("=?utf-8?q?open", "=?utf-8?q?open"),
    ],
)
def test_words_are_decoded(text: str, decoded: str) -> None:
    assert decode_words(text) == decoded


def test_words_beyond_the_limit_stay_as_they_are() -> None:
    decoded = decode_words("=?utf-8?q?a?= " * 300)
    assert decoded.startswith("a" * 200)
    assert decoded.count("=?utf-8?q?a?=") == 100


@given(
    st.lists(
        st.sampled_from(
            [
                "=?",
                "?=",
                "utf-8",
                "utf-7",
                "unicode_escape",
                "?q?",
                "?b?",
                "=C3",
                "a ",
                "\\ud800",
            ]
        )
    )
)
def test_nothing_raises_and_everything_can_be_stored(pieces: list[str]) -> None:
    decode_words("".join(pieces)).encode()
