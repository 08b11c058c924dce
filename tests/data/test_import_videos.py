# SPDX-License-Identifier: Apache-2.0
import shutil

import pytest
from datasets import load_dataset

from surglavi_hf.data import CorpusInfo, check_database, read_corpus_info, read_database_videos
from surglavi_hf.data.import_captions import ImportOptions
from surglavi_hf.data.import_videos import CorpusOptions, import_videos
from surglavi_hf.media import VideoLibrary

ABOUT = [
    ("Video", "title", "year", "procedure_type", "youtube_id", "description"),
    ("/other/machine/op1.mp4", "First, of all", "2019", "cholecystectomy", "https://youtu.be/abcdefghijk", ""),
    ("op 2", "", "", "", "", "Two  lines"),
]


@pytest.fixture(scope="module")
def films(tmp_path_factory, drawn):
    folder = tmp_path_factory.mktemp("films")
    (folder / "nested" / "deep").mkdir(parents=True)
    for place in ("op1.mp4", "nested/op 2.mp4", "nested/deep/Операция.mp4"):
        shutil.copy(drawn, folder / place)
    (folder / "notes.txt").write_text("none")
    (folder / "._op1.mp4").write_bytes(b"of macOS")
    return folder


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    from surglavi_hf.demo.drawing import Task, write_video

    path = tmp_path_factory.mktemp("drawn") / "drawn.mp4"
    write_video(path, [Task("liver", "hook", "burns", 0.0, 0, 0, seconds=4.5)], [0])
    return path


def write_table(path, rows=ABOUT, delimiter=","):
    def cell(text):
        return f'"{text}"' if delimiter in text else text

    path.write_text("".join(delimiter.join(map(cell, row)) + "\n" for row in rows), encoding="utf-8")
    return path


def test_every_file_becomes_a_row(films, tmp_path):
    done = import_videos(films, tmp_path / "new", CorpusOptions("Ours", "cc-by-4.0"))
    assert (done.videos, done.described, done.duration) == (3, 0, pytest.approx(15))
    library = VideoLibrary(tmp_path / "new")
    assert library.downloaded_names() == sorted(("op1", "op 2", "Операция"))
    assert library.video_path("op 2").resolve() == (films / "nested" / "op 2.mp4").resolve()
    assert read_corpus_info(tmp_path / "new") == CorpusInfo(
        "Ours", "Videos of its publisher, imported by surglavi_hf.", "cc-by-4.0"
    )
    rows = {row["name"]: row for row in load_dataset("surglavi", "videos", data_dir=str(tmp_path / "new"))["train"]}
    assert set(rows) == {"op1", "op 2", "Операция"}
    assert rows["op1"]["title"] == "op1" and rows["op1"]["duration"] == 5.0 and rows["op1"]["width"] == 96
    assert not any(check_database(tmp_path / "new").left_out.values())
    assert [source.name for source in read_database_videos(tmp_path / "new").sources] == list(rows)


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_a_table_tells_more(films, tmp_path, delimiter):
    table = write_table(tmp_path / "about.csv", delimiter=delimiter)
    assert import_videos(films, tmp_path / "new", ImportOptions(), table=table).described == 2
    rows = {row["name"]: row for row in load_dataset("surglavi", "videos", data_dir=str(tmp_path / "new"))["train"]}
    first = rows["op1"]
    assert (first["title"], first["year"], first["procedure_type"]) == ("First, of all", 2019, "cholecystectomy")
    assert first["youtube_id"] == "abcdefghijk" and first["description"] is None
    assert rows["op 2"]["title"] == "op 2" and rows["op 2"]["description"] == "Two lines"
    assert rows["Операция"]["year"] is None


@pytest.mark.parametrize(
    "rows, message",
    [
        ([("op9",)], r"about\.csv, line 2: video 'op9' has no file in "),
        ([("op1",), ("op 2",), ("op1.mp4",)], r"about\.csv, line 4: video 'op1' is there twice, first in .*line 2"),
        ([("op1", "19")], r"line 2: year '19', expected four digits"),
        ([("op1", "2019.5")], r"line 2: year '2019\.5', expected four digits"),
        (
            [("op1", "", "a\x1b[2Jb")],
            r"line 2: title .*, expected at most 10,000 characters without control characters",
        ),
        ([("op1", "", "", "a b/c")], r"line 2: youtube_id 'a b/c', expected an id of 11 characters"),
    ],
)
def test_a_wrong_row_is_named_and_nothing_is_written(films, tmp_path, rows, message):
    columns = ("video", "year", "title", "youtube_id")
    rows = [columns, *((*row, *("",) * (4 - len(row))) for row in rows)]
    with pytest.raises(ValueError, match=message) as caught:
        import_videos(films, tmp_path / "new", table=write_table(tmp_path / "about.csv", rows))
    assert "\n" not in str(caught.value) and not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "header, message",
    [
        (("video", "titel"), r"line 1: column 'titel', expected video and some of title, year, "),
        (("name", "title"), "expected a line that names the columns video"),
        (("video", "title", "title"), "the column title is there twice"),
    ],
)
def test_a_column_that_is_unknown_is_refused(films, tmp_path, header, message):
    table = write_table(tmp_path / "about.csv", [header, ("op1", "a", "b")[: len(header)]])
    with pytest.raises(ValueError, match=message):
        import_videos(films, tmp_path / "new", table=table)
    assert not (tmp_path / "new").exists()


def test_videos_that_are_not_clear_or_not_whole(films, drawn, tmp_path):
    folder = tmp_path / "films"
    shutil.copytree(films, folder)
    shutil.copy(drawn, folder / "nested" / "op1.mov")
    with pytest.raises(ValueError, match=r"op1\.mov and .*op1\.mp4 would be one video by their names"):
        import_videos(folder, tmp_path / "new")
    (folder / "nested" / "op1.mov").write_bytes(b"no video")
    (folder / "op1.mp4").rename(folder / "op3.mp4")
    with pytest.raises(ValueError, match=r"op1\.mov cannot be opened .*; nothing is imported"):
        import_videos(folder, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    (folder / "nested" / "op1.mov").unlink()
    (folder / "op3.mp4").write_bytes(drawn.read_bytes()[:-400])
    with pytest.raises(ValueError, match=r"op3\.mp4"):
        import_videos(folder, tmp_path / "new")
    assert not list((tmp_path / "new").glob("*.db"))
    shutil.copy(drawn, folder / "op3.mp4")
    assert import_videos(folder, tmp_path / "new").videos == 3, "what was stopped goes on"
    with pytest.raises(FileExistsError, match=r"surglavi_beta\.db is there already"):
        import_videos(folder, tmp_path / "new")


def test_a_folder_without_videos(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no videos in .*empty, expected files that end in"):
        import_videos(tmp_path / "empty", tmp_path / "new")
    with pytest.raises(FileNotFoundError, match="no folder of videos at"):
        import_videos(tmp_path / "gone", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_table_that_is_not_there(films, tmp_path):
    for path in (tmp_path / "gone.csv", tmp_path):
        with pytest.raises(FileNotFoundError, match=rf"^no table at {path}$"):
            import_videos(films, tmp_path / "new", table=path)
    assert not (tmp_path / "new").exists()


def test_folders_in_one_another_are_refused(drawn, tmp_path):
    """Links of the one would be found as videos of the other; also where a link leads there."""
    folder = tmp_path / "lab" / "films"
    folder.mkdir(parents=True)
    shutil.copy(drawn, folder / "op1.mp4")
    (tmp_path / "link").symlink_to(folder)
    for videos, new in ((folder, folder / "new"), (folder, tmp_path / "lab"), (folder, tmp_path / "link" / "new")):
        with pytest.raises(
            ValueError, match="lie in one another, expected two apart; name another --data-dir"
        ) as caught:
            import_videos(videos, new)
        assert "\n" not in str(caught.value)
    assert [path.name for path in (tmp_path / "lab").rglob("*")] == ["films", "op1.mp4"]
    assert import_videos(folder, tmp_path / "lab" / "films-new").videos == 1, "beside it"
