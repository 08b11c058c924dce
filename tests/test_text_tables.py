# SPDX-License-Identifier: Apache-2.0
import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surglavi_hf.text_tables import parse_time, read_table

COLUMNS = ["video", "start", "end", "label"]


def write(path, text: str, encoding: str = "utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_as_spreadsheets_write_it(tmp_path, delimiter, encoding, newline):
    lines = [["Label", "video ", "START", "end", ""], ["Préparation", "a", "0", "1", ""], [], ["x", "b", "1", "2", ""]]
    text = newline.join(delimiter.join(line) for line in lines) + newline
    rows = read_table(write(tmp_path / "t.csv", text, encoding), COLUMNS)
    assert [row.cells for row in rows] == [
        {"video": "a", "start": "0", "end": "1", "label": "Préparation"},
        {"video": "b", "start": "1", "end": "2", "label": "x"},
    ]
    assert [row.where.rpartition(" ")[2] for row in rows] == ["2", "4"]


TEXTS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Zs", "Zl", "Zp", "Cc"]), min_size=1
)


@given(cells=st.lists(st.tuples(TEXTS, TEXTS, TEXTS, TEXTS), min_size=1), delimiter=st.sampled_from(",;\t"))
def test_what_csv_writes_is_read(tmp_path_factory, cells, delimiter):
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter).writerows([COLUMNS, *cells])
    path = write(tmp_path_factory.mktemp("t") / "t.csv", file.getvalue())
    assert [tuple(row.cells.values()) for row in read_table(path, COLUMNS)] == cells


@pytest.mark.parametrize(
    "text, message",
    [
        ("", r"t\.csv, line 1: an empty file, expected a line that names the columns video, start, end, label"),
        ("a,b\n1,2\n", r"t\.csv, line 1: 'a,b', expected a line that names the columns"),
        ("video,start,end,label\na,0,1\n", r"line 2: 3 cells, expected 4 as in the first line"),
        ("video,start,end,label\n\na,0,1,x,y\n", r"line 3: 5 cells, expected 4 .*put a text that has the delimiter"),
        ("video,start,end,label,label\na,0,1,x,y\n", r"line 1: the column label is there twice"),
        ("video,start,end,label\na,0\0,1,x\n", r"line 2: no text, but a zero byte"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_table(write(tmp_path / "t.csv", text), COLUMNS)


def test_another_encoding_is_named(tmp_path):
    path = write(tmp_path / "t.csv", "video,start,end,label\na,0,1,Präparation\n", "cp1252")
    with pytest.raises(ValueError, match=r"t\.csv, line 2: no UTF-8 text; save it again as UTF-8"):
        read_table(path, COLUMNS)


def test_a_preamble(tmp_path):
    path = write(tmp_path / "t.csv", "Observation id;x\n\nvideo;start;end;label\na;0;1;x\n")
    with pytest.raises(ValueError, match="line 1: 'Observation id;x'"):
        read_table(path, COLUMNS)
    (row,) = read_table(path, COLUMNS, preamble=True)
    assert row.where.endswith("line 4") and row.cells["label"] == "x"


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("83.5", 83.5),
        ("83,5", 83.5),
        ("0,125", 0.125),
        ("1e2", 100.0),
        ("1:23", 83.0),
        ("01:23.5", 83.5),
        ("1:01:23", 3683.0),
        ("01:01:23,250", 3683.25),
        ("75:00", 4500.0),
    ],
)
def test_times(text, seconds):
    assert parse_time(f" {text} ") == seconds


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "'', expected seconds or h:mm:ss"),
        ("soon", "'soon', expected"),
        ("1:75", "expected minutes and seconds below 60"),
        ("1:60:00", "below 60"),
        ("00:01:02:03", "expected seconds or h:mm:ss"),
        ("nan", "expected seconds"),
        ("1e999", "expected seconds"),
        ("1,234", "'1,234' could be 1234 s or 1.234 s; write which"),
        ("１２", "expected seconds"),
    ],
)
def test_times_that_are_none(text, message):
    with pytest.raises(ValueError, match=message):
        parse_time(text)


def test_frames():
    assert parse_time("50", 25) == 2.0 and parse_time("50.0", 25) == 2.0
    with pytest.raises(ValueError, match=r"'1\.5', expected a whole number of frames"):
        parse_time("1.5", 25)
