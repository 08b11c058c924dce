# SPDX-License-Identifier: Apache-2.0
import json

import pytest

from surglavi_hf.named_values import each_once, read_named_values


@pytest.mark.parametrize(
    "name, text",
    [
        ("a.yaml", 'a: 1\nb: [x, "no"]\n'),
        ("a.yml", '{"a": 1, "b": ["x", "no"]}'),
        ("a.json", '{"a": 1, "b": ["x", "no"]}'),
        ("a.json", '\ufeff{"a": 1, "b": ["x", "no"]}'),  # as Windows' editor writes it
        ("a.yaml", '\ufeffa: 1\nb: [x, "no"]\n'),
    ],
)
def test_values(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_named_values(tmp_path / name) == {"a": 1, "b": ["x", "no"]}


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("a.json", '{"Cut": "cutting", "Suture": "x", "Cut": "y"}', "'Cut' is there twice"),
        ("a.json", '{"classes": {"Cut": "cutting", "Cut": "y"}}', "'Cut' is there twice"),
        ("a.yaml", "Cut: cutting\nSuture: x\nCut: y\n", "'Cut' is there twice"),
        ("a.yaml", "classes:\n  Cut: cutting\n  'Cut': y\n", "'Cut' is there twice"),
        ("a.yaml", "a: &x [1]\nb: *x\n", "an alias"),
        ("a.yaml", "a: [\n", 'while parsing.* in "a.yaml", line 2'),
        ("a.json", "a: 1", "Expecting value"),
    ],
)
def test_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message) as raised:
        read_named_values(tmp_path / name, "prompts")
    assert str(raised.value).startswith(f"{tmp_path / name} cannot be read (")
    assert str(raised.value).endswith("; expected prompts") and "\n" not in str(raised.value)


def test_no_text(tmp_path):
    (tmp_path / "a.json").write_bytes(b'{"a": "\xe4"}')
    with pytest.raises(ValueError, match=r"a\.json, line 1: no UTF-8 text"):
        read_named_values(tmp_path / "a.json")


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_named_values(tmp_path / "a.yaml")


def test_each_once_of_a_line():
    assert json.loads('{"a": {"a": 1}}', object_pairs_hook=each_once) == {"a": {"a": 1}}
    with pytest.raises(ValueError, match="'caption' is there twice"):
        json.loads('{"caption": "x", "caption": "y"}', object_pairs_hook=each_once)
