"""The ways to write a secret."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.config.files import Identity
from syncd.config.secrets import SecretReading, read_secret
from syncd.config.values import Unfit
from syncd.model.secret import SealedSecret, Secret, UnreadSecret

ALL = ("encrypted", "file", "env", "credential")


def _read(
    value: object,
    environ: Mapping[str, str] | None = None,
    beside: Path | None = None,
    *,
    looking: bool = False,
) -> Secret | SealedSecret:
    reading = SecretReading(environ or {}, Identity.of_this_process(), looking)
    return read_secret(value, reading, beside=beside, spellings=ALL)


def _file(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "password"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_plain_text_is_the_secret() -> None:
    assert _read("pässword with  blanks ") == Secret("pässword with  blanks ")


def test_an_encrypted_secret_stays_sealed() -> None:
    assert _read({"encrypted": "v1:abc_-="}) == SealedSecret("v1:abc_-=")


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_file_is_read_without_its_line_end(tmp_path: Path, end: bytes) -> None:
    path = _file(tmp_path, b" geheim " + end)
    assert _read({"file": str(path)}) == Secret(" geheim ")
    assert _read({"file": "password"}, beside=tmp_path) == Secret(" geheim ")


def test_a_variable_is_read_from_the_environment() -> None:
    assert _read({"env": "PASSWORD"}, {"PASSWORD": "geheim"}) == Secret("geheim")


def test_a_credential_is_read_from_systemds_directory_whatever_its_mode(
    tmp_path: Path,
) -> None:
    _file(tmp_path, b"geheim\n", mode=0o444)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert _read({"credential": "password"}, environ) == Secret("geheim")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (12345, "found a number; put it in quotes"),
        (None, "found nothing"),
        (["geheim"], "found a list"),
        ({}, "found a mapping"),
        ({"env": "A", "file": "geheim"}, "found a mapping"),
        ({"plain": "geheim"}, "found a mapping"),
        ({"env": 7}, "env: must be a variable's name; found a number"),
        ({"file": ""}, "file: must be a file's path; found empty text"),
        ({"encrypted": "geheim"}, "encrypted: must be what `syncd secret encrypt` printed"),
        ({"encrypted": "v1:ge heim"}, "encrypted: must be what `syncd secret encrypt` printed"),
        (
            {"encrypted": ""},
            "encrypted: must be what `syncd secret encrypt` printed (v1:…); found empty text",
        ),
        ("", "is empty"),
        ("geheim\nDELE 1", "must be one line"),
        ("geheim\0", "must be one line"),
        ({"env": "NOT_THERE"}, "the environment has no variable NOT_THERE"),
        ({"credential": "x"}, "systemd gave this process no credentials"),
        ({"credential": "../x"}, "is not a credential's name"),
        ({"file": "relative"}, "must be an absolute path here"),
        ({"file": "/nonexistent"}, "cannot be read: No such file or directory"),
    ],
)
def test_everything_else_is_refused_and_never_repeated(value: object, sentence: str) -> None:
    with pytest.raises(Unfit) as refused:
        _read(value)
    assert sentence in str(refused.value)
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"geheim\nagain\n", b"\xff\xfegeheim"])
def test_a_file_that_holds_no_single_line_is_refused(tmp_path: Path, content: bytes) -> None:
    path = _file(tmp_path, content)
    with pytest.raises(Unfit) as refused:
        _read({"file": str(path)})
    assert str(refused.value).startswith(f"file: {path} ")
    assert "geheim" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = _file(tmp_path, b"geheim", mode=0o644)
    with pytest.raises(Unfit, match=f"its mode is 0644; type: chmod 600 {path}"):
        _read({"file": str(path)})


def test_whoever_merely_looks_needs_not_what_only_the_daemon_has(tmp_path: Path) -> None:
    for value in [{"env": "NOT_THERE"}, {"credential": "x"}]:
        secret = _read(value, looking=True)
        assert isinstance(secret, UnreadSecret)
    with pytest.raises(Unfit, match="No such file"):
        _read({"file": str(tmp_path / "missing")}, looking=True)
    with pytest.raises(Unfit, match="its mode is 0644"):
        _read({"file": str(_file(tmp_path, b"geheim", mode=0o644))}, looking=True)


@given(
    st.none()
    | st.integers()
    | st.text()
    | st.dictionaries(st.sampled_from([*ALL, "x"]), st.text() | st.integers())
)
def test_whatever_is_written_is_read_or_refused(value: object) -> None:
    try:
        secret = _read(value)
    except Unfit:
        return
    assert repr(secret) == "***"
