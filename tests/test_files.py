# SPDX-License-Identifier: Apache-2.0
import os

import numpy as np
import pytest

from surglavi_hf.files import digest, digest_of, printable, write_text, written_whole


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "report.txt"
    with pytest.raises(KeyboardInterrupt), written_whole(path) as beside:
        beside.write_text("half")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []
    write_text(path, "first é")
    with pytest.raises(OSError, match="full"), written_whole(path) as beside:
        beside.write_text("half")
        assert path.read_text(encoding="utf-8") == "first é", "not touched before the end"
        raise OSError("the disk is full")
    assert os.listdir(tmp_path) == ["report.txt"] and path.read_text(encoding="utf-8") == "first é"
    write_text(path, "second")
    assert path.read_text() == "second"


def test_a_file_is_as_readable_as_any_other(tmp_path):
    write_text(tmp_path / "a", "x")
    (tmp_path / "b").write_text("x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_a_digest_shows_every_flipped_bit(tmp_path):
    path = tmp_path / "x"
    content = bytes(range(256)) * 8
    path.write_bytes(content)
    whole = digest(path)
    for place in range(0, len(content), 97):
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        assert digest(path) != whole
    path.write_bytes(content)
    assert digest(path) == whole


def test_control_characters_are_shown_as_such():
    assert printable("a\x1b[31mb\nc é") == "a�[31mb�c é"


def test_digest_of_texts_and_arrays():
    values = np.arange(6, dtype=np.float32)
    assert digest_of("a", values) == digest_of("a", values.reshape(2, 3)) != digest_of("b", values)
    assert digest_of("ab", "c") != digest_of("a", "bc") != digest_of("abc")
    assert digest_of(values[:0]) != digest_of() and len(digest_of()) == 32
