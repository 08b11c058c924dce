# SPDX-License-Identifier: Apache-2.0
"""Anyone's labels: every dialect says the same, and what is wrong with one is named."""

import shutil

import pytest

from surglavi_hf import load_benchmark, zero_shot

from ...conftest import write_pictures
from ...native_files import save_frame
from .own import CLASSES, DIALECTS, LABELS, SEGMENTS, load_own, text, write_yaml


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_pictures(path, [place / 5 for place in range(60)])  # 12 s
    return path


@pytest.fixture
def root(tmp_path, film):
    """A folder with two videos."""
    (tmp_path / "data" / "videos").mkdir(parents=True)
    for video in SEGMENTS:
        shutil.copy(film, tmp_path / "data" / "videos" / f"{video}.mp4")
    return tmp_path / "data"


def labels_of(benchmark) -> dict[str, list]:
    return {
        name: [video.labels.get(number) for number in video.numbers]
        for name, video in sorted(benchmark.videos.items())
    }


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_says_the_same(dialect, root):
    benchmark = load_own(root, DIALECTS[dialect](root))
    assert labels_of(benchmark) == dict(sorted(LABELS.items()))
    assert benchmark.name == benchmark.title == "mine" and benchmark.published.zero_shot == {}
    assert benchmark.protocol["num_labelled_frames"] == 23 and benchmark.protocol["num_listed_frames"] == 24
    assert benchmark.protocol["frames_listed_in"] == "steps of 1 / fps s from the start of the video"
    if not DIALECTS[dialect].__name__.startswith("_each"):
        assert benchmark.protocol["gaps_between_intervals"] == 1 and benchmark.protocol["labelled_intervals"] == 5
        assert benchmark.protocol["videos_without_labels"] == "none"


def test_several_classes_a_frame(root):
    """In intervals that overlap, or in columns; a frame of no interval has none of them."""
    rows = ["op1,0,4,Cut", "op1,2,6,Sew", "op 2,1,2,Sew"]
    text(root / "labels.csv", ["video,start,end,label", *rows])
    found = labels_of(load_own(root, {"reader": "segments"}, kind="multi_label"))
    expected = [(1, 0, 0)] * 2 + [(1, 1, 0)] * 2 + [(0, 1, 0)] * 2 + [(0, 0, 0)] * 6
    assert found["op1"] == expected and found["op 2"] == [(0, 0, 0), (0, 1, 0)] + [(0, 0, 0)] * 10
    for video, labels in found.items():
        lines = [",".join(map(str, label)) for label in labels]
        text(root / "labels" / f"{video}.csv", ['Cut,Sew,"Rinse, then look"', *lines])
    assert labels_of(load_own(root, {"reader": "frame_labels"}, kind="multi_label")) == found


def test_frames_on_disk_and_another_rate(root, drawn):
    """Frames that were extracted at the rate that is evaluated take the place of videos."""
    labels = DIALECTS["segments in seconds"](root)
    from surglavi_hf.media import decode_frames

    for video in SEGMENTS:
        frames = decode_frames(root / "videos" / f"{video}.mp4", [number / 2 for number in range(24)])
        (root / "frames" / video).mkdir(parents=True)
        for number, frame in enumerate(frames, start=1):
            save_frame(frame, root / "frames" / video / f"{number:06d}.png")
    found = labels_of(load_own(root, labels, fps=2))
    assert found["op1"][:10] == [0] * 8 + [1] * 2 and len(found["op1"]) == 24
    with pytest.raises(ValueError, match=r"op.* has 24 frames, expected about 12 at 1 a second; extract them again"):
        load_own(root, labels)
    shutil.rmtree(root / "videos")
    assert labels_of(load_own(root, labels, fps=2)) == found


def test_ignored_labels_leave_frames_out(root):
    text(root / "labels.csv", ["video,start,end,label", "op1,0,12,Cut", "op1,3,5,Out of Body", "op 2,0,12,Sew"])
    benchmark = load_own(root, {"reader": "segments", "ignore": ["out of body"]})
    assert labels_of(benchmark)["op1"] == [0] * 3 + [None] * 2 + [0] * 7
    assert benchmark.protocol["ignored_intervals"] == 1


def test_overlaps_that_hold_no_frame_are_counted(root):
    text(root / "labels.csv", ["video,start,end,label", "op1,0,4.2,Cut", "op1,4.1,12,Sew", "op1,12,12,Cut"])
    protocol = load_own(root, {"reader": "segments"}).protocol
    assert protocol["overlaps_that_hold_no_frame"] == 1 and protocol["empty_intervals"] == 1
    assert protocol["videos_without_labels"] == "op 2"


HEAD = "video,start,end,label"


@pytest.mark.parametrize(
    "lines, message",
    [
        (
            ["op1,0,4,Cut", "op1,2,6,Sew"],
            "line 3: 'Sew' from 2 to 6 s overlaps 'Cut' from 0 to 4 s .*line 2",
        ),
        (
            ["op1,0,999999999,Cut"],
            "line 2: it ends at 1e.09 s, which is more than 5,000,000 frames; see in which unit",
        ),
        (
            ["op1,0,4,Knit"],
            "line 2: 'Knit' is no class; expected one of Cut, Sew, Rinse, then look, or in a benchmark's file put it "
            "under ignore",
        ),
        (["op1,0,4,2"], "line 2: '2' is no class; .*; give class_ids_from, where it is a number"),
        (["op1,4,0,Cut"], "line 2: it ends at 0 s, before it starts at 4 s"),
        (["op1,-4,0,Cut"], "line 2: it starts at -4 s, expected a time >= 0"),
        (["op1,soon,4,Cut"], "line 2: start 'soon', expected seconds or h:mm:ss"),
        ([",0,4,Cut"], "line 2: no video, expected a video's name"),
        (["op1,0,4,Cut", "op1,0,100,Cut"], "labels of op1 go to 100 s, and its frames end at 12 s"),
        ([f"op1,{n},x,Cut" for n in range(5)], "line 2: .*; .*line 3: .*; .*line 4: .*; 2 more"),
        ([], "there are no labels"),
        (["a/..,0,1,Cut"], r"video name '\.\.' cannot be a file name"),
    ],
)
def test_wrong_rows_are_named(root, lines, message):
    text(root / "labels.csv", [HEAD, *lines])
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        load_own(root, {"reader": "segments"})
    assert "\n" not in str(caught.value)


def test_times_that_are_no_times(root):
    """JSON has NaN and Infinity, as Python reads it."""
    for start, end in (("0", "NaN"), ("NaN", "4"), ("0", "Infinity")):
        task = f'[{{"video": "op1.mp4", "phases": [{{"start": {start}, "end": {end}, "labels": ["Cut"]}}]}}]'
        text(root / "labels.json", [task])
        with pytest.raises(ValueError, match=r"task 1: from .* to .*, expected finite times"):
            load_own(root, {"reader": "label_studio"})


def test_frames_that_would_fill_the_memory(root):
    """By the evaluated frames a second, not by the seconds."""
    text(root / "labels.csv", [HEAD, "op1,0,3000000,Cut"])
    with pytest.raises(ValueError, match="which is more than 5,000,000 frames"):
        load_own(root, {"reader": "segments"}, fps=2)
    with pytest.raises(ValueError, match=r"labels of op1 go to 3e\+06 s, and its frames end at 12 s"):
        load_own(root, {"reader": "segments"}, fps=1)
    with pytest.raises(ValueError, match=r"labels of op1 go to 3e\+06 s, and its frames end at 12 s"):
        load_own(root, {"reader": "segments"}, fps=0.25)


def test_a_video_that_is_not_there(root):
    text(root / "labels.csv", [HEAD, "op1,0,4,Cut", "op3,0,4,Cut"])
    with pytest.raises(FileNotFoundError, match="frames or video of op3 is not in"):
        load_own(root, {"reader": "segments"})
    assert list(load_own(root, {"reader": "segments"}, splits={"test": ["op1"]}).videos) == ["op1"]
    with pytest.raises(FileNotFoundError, match=r"video 'op 2' has no labels in .*; op1, op3 have"):
        load_own(root, {"reader": "segments"}, splits={"test": ["op 2"]})


@pytest.mark.parametrize("reader", ["elan", "frame_labels"])
def test_files_of_each_video_have_its_name(root, reader):
    with pytest.raises(ValueError, match=r"mine\.yaml, labels: files='labels\.csv' has no {video}, which stands for"):
        load_own(root, {"reader": reader, "files": "labels.csv"})


@pytest.mark.parametrize(
    "files", ["/etc/{video}", "../{video}.csv", "..\\{video}.csv", "{video}{x}", "a\0{video}", ""]
)
@pytest.mark.parametrize("reader", ["segments", "frame_labels", "elan", "boris", "label_studio"])
def test_files_are_below_the_root(root, reader, files):
    with pytest.raises(ValueError, match=r"mine\.yaml, labels") as caught:
        load_own(root, {"reader": reader, "files": files})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "dialect, change, message",
    [
        ("ELAN", lambda root: (root / "labels" / "op1.eaf").write_text("<no"), r"op1\.eaf cannot be read"),
        ("Label Studio", lambda root: (root / "labels.json").write_text("{"), r"labels\.json cannot be read"),
        ("Label Studio", lambda root: (root / "labels.json").write_text("{}"), "is no list of tasks"),
        ("Label Studio", lambda root: (root / "labels.json").write_text("[{}]"), "task 1: no 'video' in its data"),
        (
            "a label a frame",
            lambda root: text(root / "labels/op1.csv", ["frame,label", "1,1", "3,1"]),
            "line 3: ",
        ),
        (
            "a label a frame",
            lambda root: text(root / "labels/op1.csv", ["frame,label", "7,1"]),
            "frame 7, ex",
        ),
        (
            "a label a frame",
            lambda root: text(root / "labels/op1.csv", ["frame,label", "1,9"]),
            "'9' is no",
        ),
        ("a label a second", lambda root: text(root / "labels/op1.txt", ["Cut"] * 99), "op1 has labels for 99 s"),
        ("a label a second", lambda root: text(root / "labels/op1.txt", ["a,b,c,d"]), "line 1: 4 cells, expected"),
    ],
)
def test_damaged_files_are_named(root, dialect, change, message):
    labels = DIALECTS[dialect](root)
    change(root)
    with pytest.raises((OSError, ValueError), match=message) as caught:
        load_own(root, labels)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "events, message",
    [
        (["x,12,5,s,Cut,,STOP,1,op1.mp4,"], "'Cut' stops, and has not started"),
        (["x,12,5,s,Cut,,START,1,op1.mp4,"], "'Cut' starts, and has no stop"),
        (["x,12,5,s,Cut,,START,1,op1.mp4,", "x,12,5,s,Cut,,START,2,op1.mp4,"], "'Cut' starts again"),
        (["x,12,5,s,Cut,,POINT,1,op1.mp4,"], "'Cut' is a point, which lasts no time"),
        (
            ["x,12,5,s,Cut,,START,1,op1.mp4,", "x,12,5,t,Cut,,STOP,2,op1.mp4,"],
            r"subjects \(s, t\); give subject",
        ),
        (["x,12,5,s,Cut,,BEGIN,1,op1.mp4,"], "Behavior type or Status 'BEGIN', expected START, STOP or POINT"),
    ],
)
def test_events_of_boris_that_make_no_intervals(root, events, message):
    header = "Observation id,Media duration (s),FPS,Subject,Behavior,Behavioral category,Behavior type,Time"
    text(root / "labels" / "all.csv", [f"{header},Media file name,Comment", *events])
    with pytest.raises(ValueError, match=message):
        load_own(root, {"reader": "boris"})


def test_tiers_of_elan_are_asked_for(root):
    labels = DIALECTS["ELAN"](root)
    with pytest.raises(ValueError, match="has 2 tiers with annotations; give tier, one of 'default', 'phases'"):
        load_own(root, {**labels, "tier": None})
    with pytest.raises(ValueError, match="has no tier 'steps'; give tier, one of"):
        load_own(root, {**labels, "tier": "steps"})


def test_an_evaluation(root, tiny_model):
    """From a YAML and a table to a report with its own title, and no figures of others."""
    labels = DIALECTS["segments in seconds"](root)
    path = write_yaml(root, labels, title="Our operations", prompts={name: f"a view of {name}" for name in CLASSES})
    report = zero_shot(*tiny_model, load_benchmark(path))
    assert report.title == "Our operations" and report.published == {} and report.benchmark == "mine"
    assert len(report.predictions) == 23 and report.protocol["prompts"] == "mine: in mine.yaml"
    assert str(root) not in str(report.protocol)
    assert report.protocol["labelled_intervals"] == 5 and report.protocol["intervals"].startswith("95 %, ")
