"""A strict reading of YAML in which every value knows its place."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.config import strict_yaml
from syncd.config.problems import Place
from syncd.config.strict_yaml import (
    YamlMap,
    key_path,
    place_near,
    place_of,
    plain_value,
    read_yaml,
    value_at,
)

SAMPLE = """\
instance: staging
profiles:
  - name: contoso
    incoming: {server: pop3.contoso.com, port: 995}
  - type: pop3-smtp
mailboxes:
  - {name: Ann, address: ann@contoso.com}
"""


def _sentences(text: str | bytes) -> list[str]:
    return [str(problem) for problem in read_yaml(text, "x").problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("false", False),
        ("0", 0),
        ("995", 995),
        ("-3", -3),
        ("1.5", 1.5),
    ],
)
def test_a_plain_word_means_what_yaml_1_2_says(text: str, value: object) -> None:
    assert plain_value(text) == value
    assert type(plain_value(text)) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        *("no", "yes", "on", "off", "True", "NULL", "y"),
        *("010", "0x1f", "0o17", "1_000", "+1", "1e3", ".5", "1.", ".inf", "-", "1-2"),
        *("12:30:45", "2026-01-01", "2026-01-01T00:00:00Z", "9" * 19, "٣", "5m"),
    ],
)
def test_every_other_plain_word_is_text(text: str) -> None:
    assert plain_value(text) == text


@given(st.text())
def test_a_plain_word_is_nothing_a_flag_a_number_or_itself(text: str) -> None:
    value = plain_value(text)
    assert value is None or isinstance(value, bool | int | float) or value == text


def test_quoted_and_block_text_is_always_text() -> None:
    document = read_yaml("a: '995'\nb: \"true\"\nc: |\n  null\n", "x")
    assert document.value == {"a": "995", "b": "true", "c": "null\n"}


def test_every_value_knows_its_file_line_and_column() -> None:
    root = read_yaml(SAMPLE, "syncd.yaml").value
    places = {
        (): (1, 1),
        ("instance",): (1, 11),
        ("profiles",): (3, 3),
        ("profiles", 0): (3, 5),
        ("profiles", 0, "incoming"): (4, 15),
        ("profiles", 0, "incoming", "port"): (4, 48),
        ("mailboxes", 0, "address"): (7, 26),
    }
    for loc, (line, column) in places.items():
        assert place_of(root, loc) == Place("syncd.yaml", line, column)
    assert isinstance(root, YamlMap)
    assert root.key_places["profiles"] == Place("syncd.yaml", 2, 1)


def test_columns_count_characters_not_octets() -> None:
    root = read_yaml("{ä: ö, x: y}", "x").value
    assert place_of(root, ("x",)) == Place("x", 1, 11)


def test_what_was_not_written_has_no_place_but_something_near_it_has() -> None:
    root = read_yaml(SAMPLE, "x").value
    for loc in [("log",), ("profiles", 7), ("instance", "x"), ("profiles", "x"), (0,)]:
        assert place_of(root, loc) is None
    assert place_near(root, ("profiles", 0, "outgoing", "server")) == Place("x", 3, 5)
    assert place_near(None, ("a",)) == Place("")


def test_a_value_is_found_by_its_location() -> None:
    root = read_yaml(SAMPLE, "x").value
    assert value_at(root, ("profiles", 0, "incoming", "port")) == 995
    assert value_at(root, ("profiles", 9)) is None
    assert value_at(root, ("instance", "x")) is None


def test_a_key_is_named_by_what_its_object_is_called() -> None:
    root = read_yaml(SAMPLE, "x").value
    assert key_path(root, ("profiles", 0, "incoming", "port")) == (
        "profiles[contoso].incoming.port"
    )
    assert key_path(root, ("profiles", 1, "type")) == "profiles[#2].type"
    assert key_path(root, ("mailboxes", 0)) == "mailboxes[ann@contoso.com]"
    assert key_path(root, ("nowhere", 3, "x")) == "nowhere[#4].x"


def test_both_lines_of_a_key_that_stands_twice_are_told_and_the_first_is_kept() -> None:
    document = read_yaml("a: 1\nb: {c: 1,\n c: 2}\na: 2\n", "x")
    assert document.value == {"a": 1, "b": {"c": 1}}
    assert [str(problem) for problem in document.problems] == [
        "x:3:2: b.c: this key stands already in line 2; keep one of the two",
        "x:4:1: a: this key stands already in line 1; keep one of the two",
    ]


def test_a_key_twice_is_told_even_when_the_rest_cannot_be_read() -> None:
    assert _sentences("a: 1\na: 2\nb: [\n")[0].startswith("x:2:1: a: this key stands already")


def test_an_alias_bomb_is_refused_before_it_unfolds() -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(
        f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)
    )
    assert _sentences(bomb) == ["x:1:5: a0: the anchor &a0 is refused; write it out"]


def test_nesting_is_limited_before_the_stack_is() -> None:
    assert _sentences("[" * 5000) == ["x:1:22: nested deeper than 20 levels"]
    assert _sentences("[" * 20 + "]" * 20) == []


def test_a_file_that_is_too_large_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict_yaml, "LONGEST_FILE", 1 << 20)
    assert _sentences(b"x" * (1 << 20)) == []
    assert _sentences(b"x" * ((1 << 20) + 1)) == ["x: larger than 1 MiB: no configuration is"]


def test_the_number_of_values_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict_yaml, "MOST_VALUES", 5)
    assert _sentences("[1, 2, 3, 4]") == []
    assert _sentences("[1, 2, 3, 4, 5]") == ["x:1:14: [#5]: more than 5 values in one file"]


def test_a_byte_order_mark_is_no_part_of_the_first_key() -> None:
    assert read_yaml(b"\xef\xbb\xbfa: 1\n", "x").value == {"a": 1}


def test_another_encoding_is_told_by_its_first_wrong_byte() -> None:
    assert _sentences("a: 1\n# größe\n".encode("latin-1")) == [
        "x:2:5: not UTF-8: the byte 0xf6 belongs to another encoding; save the file as UTF-8"
    ]


def test_a_forbidden_character_is_told_with_its_line_and_column() -> None:
    assert _sentences("ä: 1\nöö: \x00\n") == [
        "x:2:5: the character U+0000 is not allowed in YAML; remove it"
    ]


def test_an_empty_document_is_nothing() -> None:
    for text in ["", "# only a comment\n", "---\n"]:
        document = read_yaml(text, "x")
        assert document.value is None
        assert document.problems == ()


@given(st.binary() | st.text(st.characters(exclude_categories=["Cs"])).map(str.encode))
def test_any_octets_are_read_or_refused_with_a_place(content: bytes) -> None:
    document = read_yaml(content, "x")
    for problem in document.problems:
        assert problem.file == "x"
        assert problem.message


@given(st.text(alphabet="a:-[]{}\"'|>#&*!%@`?, \n\t01"))
def test_any_yaml_like_text_is_read_or_refused_with_a_line(text: str) -> None:
    for problem in read_yaml(text, "x").problems:
        assert 1 <= problem.line <= text.count("\n") + 2
        assert problem.column >= 1


WRITTEN = st.recursive(
    st.none() | st.booleans() | st.integers(-999, 999) | st.text("ab: '\n#é", max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=15,
)


@given(WRITTEN)
def test_what_was_written_as_json_is_read_as_it_was(value: object) -> None:
    document = read_yaml(json.dumps(value, ensure_ascii=False), "x")
    assert (document.value, document.problems) == (value, ())
