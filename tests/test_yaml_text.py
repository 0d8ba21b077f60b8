"""What people write as YAML is plain values of a sane size, or an error of one line."""

import time

import pytest

from entropy_flows.settings import settings
from entropy_flows.yaml_text import MAX_BYTES, parse_yaml, read_yaml, shortened

BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)
MERGES = "m0: &m0 {a: 1}\n" + "".join(
    f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 10)}]}}\n" for n in range(1, 9)
)
REFUSED = {
    BOMB: "line 5: more than 100000 values, aliases counted",
    MERGES: "more than 100000 values, aliases counted",
    "[" * 900 + "]" * 900: "line 1: more than 40 lists or mappings within one another",
    "- " * 5000 + "x": "more than 40 lists",
    "{a: " * 100_000: "more than 40 lists",
    "a: &a [*a]": "line 1: the alias *a stands for itself or nothing",
    "a: *b": "the alias *b stands for itself or nothing",
    "a: 1\nb: 2\na: 3": "line 3: the key 'a' is given twice",
    "1: x": "line 1: the key 1 is no text; put it in quotes",
    "{Na: Na_pv, No: No_s}": "the key No is no text; put it in quotes",
    "? [a, b]\n: x": "the key of several values is no text",
    "a: .inf": ".inf is no finite number",
    "a: -.INF": "-.INF is no finite number",
    "a: .nan": ".nan is no finite number",
    "a: 1.0e+999": "1.0e+999 is no finite number",
    "a: 18446744073709551616": "the integer 18446744073709551616 is beyond 64 bits",
    "a: -9223372036854775809": "is beyond 64 bits",
    "a: 0x" + "f" * 30: "is beyond 64 bits",
    "a: " + "9" * 5000: "line 1: '999999999999999999999999999999…' cannot be read as int",
    "a: !!bool maybe": "'maybe' cannot be read as bool",
    "a: 2026-02-30": "the date 2026-02-30 (without quotes) is not taken",
    "a: 2026-02-03": "the date 2026-02-03 (without quotes) is not taken; expected plain values",
    "a: !!set {x}": "the tag 'set' is not taken",
    "a: !!binary aGVsbG8=": "the tag 'binary' is not taken",
    "a: !!python/object/apply:os.system [echo]": (
        "the tag 'python/object/apply:os.system' is not taken"
    ),
    "!mine {a: 1}": "the tag '!mine' is not taken",
    "a:\n\t- b": (
        "line 2, column 1: while scanning for the next token, "
        "found character that cannot start any token"
    ),
    "a: [b": "line 2, column 1: while parsing a flow sequence, did not find expected",
    'a: "\\0"': "'\\x00' has a character that no text has",
    "a: b\x07": "character 5: a control character, which no text has",
    "a\n---\nb": "line 2, column 1: expected a single document",
    "<<: 3": "expected a mapping or list of mappings for merging",
    "x" * (MAX_BYTES + 1): "it has 1048577 characters; at most 1048576 are taken",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: repr(text[:25]))
def test_what_is_no_plain_yaml_is_a_line(text):
    started = time.process_time()
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        parse_yaml(text)
    assert time.process_time() - started < 1
    assert REFUSED[text] in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (
            "{a: 1, b: [x, 2.5, null, yes], 'no': \"3\"}",
            {"a": 1, "b": ["x", 2.5, None, True], "no": "3"},
        ),
        ("d: &d {a: 1, b: 2}\ne: {<<: *d, b: 3}", {"d": {"a": 1, "b": 2}, "e": {"a": 1, "b": 3}}),
        ("a: &x 9223372036854775807\nb: *x", {"a": 2**63 - 1, "b": 2**63 - 1}),
        ("", None),
    ],
)
def test_plain_yaml_is_read(text, value):
    assert parse_yaml(text) == value


FILES = {
    b"\xef\xbb\xbfa: \xc3\xa9\n": {"a": "é"},
    "a: é\n".encode("utf-16"): "it is UTF-16 or no text; save it as UTF-8",
    "a: é\n".encode("utf-16-le"): "it is UTF-16 or no text",
    b"a: b\nc: \xe9\n": "line 2: byte 0xe9 is not UTF-8; save the file as UTF-8",
    b"a" * (MAX_BYTES + 1): "has 1.0 MiB; a file of settings has at most 1",
    b"\x7fELF\x00\x00": "it is UTF-16 or no text",
}


@pytest.mark.parametrize("data", FILES, ids=range(len(FILES)))
def test_the_bytes_of_a_file(data, tmp_path):
    path, expected = tmp_path / "file.yaml", FILES[data]
    path.write_bytes(data)
    if isinstance(expected, dict):
        assert read_yaml(path) == expected
        return
    with pytest.raises(ValueError, match=r"file\.yaml") as caught:
        read_yaml(path)
    assert expected in str(caught.value)


def test_what_is_no_file(tmp_path):
    with pytest.raises(ValueError, match="is a folder, expected a YAML file"):
        read_yaml(tmp_path)
    with pytest.raises(ValueError, match="does not exist"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(ValueError, match="is no regular file"):
        read_yaml(tmp_path.__class__("/dev/zero"))


def test_a_text_that_is_shown():
    assert shortened("a\nb  c") == "a b c"
    assert shortened("\x1b[2J") == "\\x1b[2J"
    assert shortened("x" * 100_000, 10) == "x" * 10 + "…"


@pytest.mark.parametrize(
    "text",
    ["uri: 'mongodb://a:hunter2@h/\n", "uri: [mongodb://a:hunter2@h/\n", "- hunter2", "hunter2"],
)
def test_a_damaged_file_of_settings_shows_nothing_of_it(text, tmp_path, monkeypatch):
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    path.chmod(0o600)
    monkeypatch.setenv("ENTROPY_FLOWS_CONFIG_FILE", str(path))
    settings.cache_clear()
    try:
        with pytest.raises(ValueError, match=r"settings\.yaml") as caught:
            settings()
        assert "hunter2" not in str(caught.value)
        assert "\n" not in str(caught.value)
    finally:
        settings.cache_clear()


def test_many_mistakes_in_the_settings_are_less_than_a_screen(tmp_path, monkeypatch):
    path = tmp_path / "settings.yaml"
    path.write_text("".join(f"key{number}: 1\n" for number in range(500)))
    monkeypatch.setenv("ENTROPY_FLOWS_CONFIG_FILE", str(path))
    settings.cache_clear()
    try:
        with pytest.raises(ValueError, match="and 494 more"):
            settings()
    finally:
        settings.cache_clear()
