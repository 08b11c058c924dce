# SPDX-License-Identifier: Apache-2.0
import json
import shutil

import pytest
from datasets import load_dataset

from surglavi_hf.cli import main
from surglavi_hf.data import CorpusInfo, check_database, read_corpus_info
from surglavi_hf.data.import_captions import ImportOptions, import_captions
from surglavi_hf.media import VideoLibrary

ROWS = [
    ("op1", "0", "8", "The surgeon works on the liver.", "phase"),
    ("op1", "0:01", "0:04.5", "The grasper holds the liver.", "task"),
    ("op 2", "2", "6", 'The hook, then "the clip".', "task"),
]
EXPECTED = [("op 2", 2.0, 6.0, 0, ROWS[2][3]), ("op1", 0.0, 8.0, 2, ROWS[0][3]), ("op1", 1.0, 4.5, 0, ROWS[1][3])]


@pytest.fixture(scope="module")
def films(tmp_path_factory, write_film):
    folder = tmp_path_factory.mktemp("films")
    (folder / "nested").mkdir()
    write_film(folder / "op1.mp4", 10)
    write_film(folder / "nested" / "op 2.mp4", 7)
    write_film(folder / "spare.mp4", 3)
    return folder


@pytest.fixture(scope="module")
def write_film():
    import av
    import numpy as np

    def write(path, seconds):
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=4)
            stream.width = stream.height = 32
            stream.pix_fmt = "yuv420p"
            for number in range(4 * seconds):
                picture = np.full((32, 32, 3), 5 * number % 256, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())

    return write


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def write_csv(path, rows=ROWS, delimiter=",", encoding="utf-8"):
    lines = [delimiter.join([v, s, e, quoted(c), level]) for v, s, e, c, level in rows]
    header = delimiter.join(("video", "start", "end", "caption", "level"))
    path.write_bytes("\r\n".join([header, *lines, ""]).encode(encoding))
    return path


def write_jsonl(path):
    names = ("video", "start", "end", "caption", "level")
    rows = [dict(zip(names, row, strict=True)) for row in ROWS]
    rows[0] |= {"start": 0, "end": 8.0, "video": "/other/machine/op1.mp4"}
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def rows_of(corpus) -> list[tuple]:
    table = load_dataset("surglavi", data_dir=str(corpus), split="train")
    return sorted((r["video_name"], r["start_time"], r["end_time"], r["level"], r["caption"]) for r in table)


@pytest.mark.parametrize("form", ["csv", "tsv", "semicolons", "jsonl"])
def test_every_form_gives_one_corpus(form, films, tmp_path):
    path = {
        "csv": lambda: write_csv(tmp_path / "c.csv"),
        "tsv": lambda: write_csv(tmp_path / "c.tsv", delimiter="\t", encoding="utf-16"),
        "semicolons": lambda: write_csv(tmp_path / "c.csv", delimiter=";", encoding="utf-8-sig"),
        "jsonl": lambda: write_jsonl(tmp_path / "c.jsonl"),
    }[form]()
    done = import_captions(path, films, tmp_path / "new", ImportOptions(title="Ours", license="cc-by-4.0"))
    assert rows_of(tmp_path / "new") == EXPECTED
    assert done.captions == {"phase": 1, "task": 2} and done.videos == 2 and done.doubled == 0
    assert [path.name for path in done.unused] == ["spare.mp4"]
    library = VideoLibrary(tmp_path / "new")
    assert library.video_path("op 2").resolve() == (films / "nested" / "op 2.mp4").resolve()
    assert read_corpus_info(tmp_path / "new") == CorpusInfo(
        "Ours", "Videos and captions of its publisher, imported by surglavi_hf.", "cc-by-4.0"
    )
    check = check_database(tmp_path / "new")
    assert not any(check.left_out.values())


def test_subtitles(films, tmp_path):
    """Tags go, times are of hours and of minutes, and the file is named as the video."""
    folder = tmp_path / "subtitles"
    folder.mkdir()
    (folder / "op1.srt").write_bytes(
        b"\xef\xbb\xbf1\r\n00:00:01,000 --> 00:00:03,500\r\nWe <i>open</i>\r\nthe belly.\r\n\r\n"
        b"2\r\n00:00:03,000 --> 00:00:05,000\r\nThen we look.\r\n"
    )
    (folder / "op 2.vtt").write_text(
        "WEBVTT\n\nNOTE made by hand\n\n00:01.000 --> 00:04.000 align:start\n<v Surgeon><b>Clip</b> it.\n"
    )
    import_captions(folder, films, tmp_path / "new", ImportOptions(level="step"))
    assert rows_of(tmp_path / "new") == [
        ("op 2", 1.0, 4.0, 1, "Clip it."),
        ("op1", 1.0, 3.5, 1, "We open the belly."),
        ("op1", 3.0, 5.0, 1, "Then we look."),
    ]


@pytest.mark.parametrize(
    "rows, message",
    [
        ([("op9", "0", "1", "a", "")], "line 2: video 'op9' has no file in "),
        ([("op1", "4", "1", "a", "")], "line 2: from 4 to 1 s, expected 0 <= start < end"),
        ([("op1", "-1", "1", "a", "")], "line 2: from -1 to 1 s, expected"),
        ([("op1", "0", "99", "a", "")], r"line 2: from 0 to 99 s, and op1\.mp4 lasts 10\.0 s"),
        ([("op1", "0", "1", "  ", "")], "line 2: the caption is empty"),
        ([("op1", "0", "1", "a\x07b", "")], "line 2: the caption .* has control characters"),
        ([("op1", "0", "1", "a", "verse")], "line 2: level 'verse', expected phase, step or task"),
        ([("op1", "zero", "1", "a", "")], "line 2: start 'zero', expected seconds or h:mm:ss"),
        ([("a/..", "0", "1", "a", "")], r"line 2: video '\.\.' cannot be a file's name"),
        ([("op9", "0", "1", "a", "")] * 5, "line 2: .*; 2 more; nothing is imported, mend the rows|has no file"),
        ([], "there are no captions to import"),
    ],
)
def test_a_wrong_row_is_named_and_nothing_is_written(films, tmp_path, rows, message):
    with pytest.raises(ValueError, match=message) as caught:
        import_captions(write_csv(tmp_path / "c.csv", rows), films, tmp_path / "new")
    assert "\n" not in str(caught.value) and not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "name, content, message",
    [
        (
            "c.csv",
            b"video,start,end\n",
            r"c\.csv, line 1: .*expected a line that names the columns video, start, end, ca",
        ),
        ("c.jsonl", b"{}\n", r"c\.jsonl, line 1: no video, start, end, caption"),
        ("c.jsonl", b"{\n", r"c\.jsonl, line 1: no JSON"),
        ("c.jsonl", b'{"video": "a", "video": "b"}\n', r"line 1: no JSON \('video' is there twice\)"),
        ("c.jsonl", b"[1]\n", r"line 1: '\[1\]', expected an object with video"),
        (
            "c.jsonl",
            b'{"video": 3, "start": 0, "end": 1, "caption": "a"}\n',
            "line 1: video 3 and caption",
        ),
        (
            "c.jsonl",
            b'{"video": "op1", "start": true, "end": 1, "caption": "a"}\n',
            "line 1: start True",
        ),
        (
            "c.jsonl",
            b'{"video": "op1", "start": NaN, "end": 1, "caption": "a"}\n',
            "line 1: start 'nan'",
        ),
        ("c.srt", b"hello\n", r"c\.srt"),
        ("c.docx", b"PK", r"c\.docx is no file of captions by its name"),
        ("c.csv", b"video,start,end,caption\nop1,0,1,\xe4\n", r"c\.csv, line 2: no UTF-8 text"),
    ],
)
def test_files_that_are_none(films, tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        import_captions(tmp_path / name, films, tmp_path / "new")
    assert "\n" not in str(caught.value) and not (tmp_path / "new").exists()


def test_videos_that_are_not_clear_or_not_whole(films, tmp_path):
    path = write_csv(tmp_path / "c.csv")
    folder = tmp_path / "films"
    shutil.copytree(films, folder)
    (folder / "op1.mkv").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"video 'op1' has several files, .*op1\.mkv and .*op1\.mp4"):
        import_captions(path, folder, tmp_path / "new")
    (folder / "op1.mkv").unlink()
    whole = (films / "op1.mp4").read_bytes()
    (folder / "op1.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"line 2: .*op1\.mp4"):
        import_captions(path, folder, tmp_path / "new")
    with pytest.raises(FileNotFoundError, match="no folder of videos at"):
        import_captions(path, tmp_path / "gone", tmp_path / "new")


def test_a_corpus_is_never_written_over_and_one_that_was_stopped_goes_on(films, tmp_path, monkeypatch):
    path = write_csv(tmp_path / "c.csv", [*ROWS, ROWS[1]])
    with monkeypatch.context() as stopped:
        stopped.setattr("surglavi_hf.data.import_captions.write_database", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            import_captions(path, films, tmp_path / "new")
    assert not list((tmp_path / "new").glob("*.db"))
    assert import_captions(path, films, tmp_path / "new").doubled == 1
    with pytest.raises(FileExistsError, match=r"surglavi_beta\.db is there already"):
        import_captions(path, films, tmp_path / "new")


def test_the_command(films, tmp_path, capsys):
    path = write_csv(tmp_path / "c.csv")
    command = ["import", str(path), "--videos", str(films), "--data-dir", str(tmp_path / "new")]
    assert main([*command, "--license", "My Licence"]) == 1
    assert "license 'My Licence', expected the Hub's name of one" in capsys.readouterr().err
    assert main(command) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "2 videos, captions: " in said and "2 of level task" in said and "spare.mp4" in said.replace(" ", "")
    assert main(["check", str(tmp_path / "new")]) == 0
    assert main(["tree", "op1", "--data-dir", str(tmp_path / "new")]) == 0
    assert "The grasper holds the liver." in capsys.readouterr().out
