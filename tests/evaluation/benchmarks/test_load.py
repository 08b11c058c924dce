# SPDX-License-Identifier: Apache-2.0
import pytest

from surglavi_hf.evaluation import BENCHMARKS, load_benchmark

from ..native_files import VIDEOS, classes_of, copy_video, some_labels, write_common, write_frames, write_native

FORMS = {
    name: "expected "
    + ("annotations/grasp_long" if name.startswith("grasp") else BENCHMARKS[name][2].tree.split(" ")[0].rstrip(","))
    for name in BENCHMARKS
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_wrong_directory_shows_the_expected_tree(name, tmp_path):
    _, split = VIDEOS[name]
    with pytest.raises(FileNotFoundError) as caught:
        load_benchmark(name, tmp_path, **split)
    assert str(tmp_path) in str(caught.value) and FORMS[name] in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"name": "cholec81"}, "benchmark 'cholec81', expected one of cholec80_phases"),
        ({"source": "frame"}, "source='frame', expected 'auto'"),
        ({"videos": "15"}, "videos='15', expected a list of names"),
        ({"variant": "mine"}, "variant='mine', expected one of owners"),
        ({"split": "tset"}, "split='tset', expected one of train, val, test, all"),
        ({"videos": ["01"]}, "video '01' is not in split 'test' of 'owners', expected some of 15, 16"),
        ({"prompts": {"Washing": "x"}}, "class 'Preparation' has None, expected a text"),
        ({"prompts": {"Wash": "x"}}, "'Wash' is no class"),
        ({"prompts": {"Washing": []}}, "class 'Preparation' has None"),
    ],
)
def test_wrong_arguments(arguments, message, tmp_path):
    write_native("autolaparo", tmp_path, "15", some_labels("autolaparo"))
    given = {"name": "autolaparo", "root": tmp_path, "videos": ["15"], "source": "labels", **arguments}
    with pytest.raises(ValueError, match=message):
        load_benchmark(**given)


def test_prompts(tmp_path):
    write_native("autolaparo", tmp_path, "15", some_labels("autolaparo"))

    def load(prompts):
        return load_benchmark("autolaparo", tmp_path, videos=["15"], source="labels", prompts=prompts)

    assert load(None).prompts[6][0].startswith("The surgical field is flushed")
    assert "unverified" in load(None).protocol["prompts"]
    assert load("names").prompts[1] == ("dividing ligament and peritoneum",)
    file = tmp_path / "prompts.yaml"
    file.write_text("\n".join(f"{name}: [a view of {name}, {name}]" for name in classes_of("autolaparo")))
    assert load(file).prompts[6] == ("a view of Washing", "Washing") and load(file).protocol["prompts_per_class"] == 2
    assert load(file).protocol["prompts"] == "file prompts.yaml", "no path of this machine"
    with pytest.raises(FileNotFoundError, match=r"'gone\.yaml' is neither a file nor one of surgclip, names"):
        load("gone.yaml")
    file.write_text("{")
    with pytest.raises(ValueError, match=r"prompts\.yaml cannot be read"):
        load(file)


def test_rows_and_protocol(tmp_path, drawn):
    labels = some_labels("autolaparo")
    write_native("autolaparo", tmp_path, "15", labels)
    copy_video("autolaparo", tmp_path, "15", drawn["autolaparo"])
    benchmark = load_benchmark("autolaparo", tmp_path, videos=["15"])
    rows = benchmark.rows
    assert rows.features["label"].names == classes_of("autolaparo")
    assert rows[2] == {"video": "15", "time": 2.0, "frame": 3, "position": 2, "label": labels[2]}
    protocol = benchmark.protocol
    assert protocol["split_variant"] == "owners" and protocol["num_labelled_frames"] == len(labels)
    assert protocol["videos"] == "15" and protocol["frame_times"] == "frame n is at (n - 1) × 1 s"
    assert str(tmp_path) not in str(dict(protocol))


def test_unknown_splits_say_so(tmp_path):
    write_native("cholec80_phases", tmp_path, "video49", some_labels("cholec80_phases"))
    for variant, expected in ((None, "41-80"), ("49-55", "49-55")):
        benchmark = load_benchmark("cholec80_phases", tmp_path, videos=["video49"], variant=variant, source="labels")
        assert benchmark.protocol["split_variant"] == expected and "UNKNOWN" in benchmark.protocol["split_note"]


def test_frames_elsewhere(tmp_path, drawn):
    for name in ("autolaparo", "sar_rarp50"):
        video = VIDEOS[name][0][0]
        write_native(name, tmp_path / name / "labels_only", video, some_labels(name))
        write_frames(name, tmp_path / name / "elsewhere", video, drawn[name])
        frames_dir = tmp_path / name / "elsewhere" / ("frames" if name == "autolaparo" else ".")
        benchmark = load_benchmark(name, tmp_path / name / "labels_only", videos=[video], frames_dir=frames_dir)
        assert benchmark.protocol["input"] == "frame files"


def test_fingerprint_follows_labels_and_files(tmp_path, drawn):
    write_native("autolaparo", tmp_path, "15", some_labels("autolaparo"))
    write_frames("autolaparo", tmp_path, "15", drawn["autolaparo"])

    def fingerprint():
        return load_benchmark("autolaparo", tmp_path, videos=["15"]).fingerprint

    first = fingerprint()
    assert first == fingerprint()
    write_native("autolaparo", tmp_path, "15", some_labels("autolaparo", shift=1))
    second = fingerprint()
    frame = next((tmp_path / "frames" / "15").iterdir())
    frame.write_bytes(frame.read_bytes() + b" ")
    assert len({first, second, fingerprint()}) == 3


def test_frames_and_videos_are_not_mixed(tmp_path, drawn):
    for video in ("15", "21"):
        write_native("autolaparo", tmp_path, video, some_labels("autolaparo"))
    write_frames("autolaparo", tmp_path, "15", drawn["autolaparo"])
    copy_video("autolaparo", tmp_path, "21", drawn["autolaparo"])
    with pytest.raises(ValueError, match="15 and 21 would be read, one from frames and one from its video"):
        load_benchmark("autolaparo", tmp_path, videos=["15", "21"])
    with pytest.raises(FileNotFoundError, match="frames of 21 is not in "):
        load_benchmark("autolaparo", tmp_path, videos=["15", "21"], source="frames")


class TestFrames:
    """Of each kind of numbering: files named by the frame, and a folder that only has an order."""

    @pytest.fixture(params=["autolaparo", "cholec80_phases"])
    def shipped(self, request, tmp_path, drawn):
        name, video = request.param, VIDEOS[request.param][0][0]
        write_native(name, tmp_path, video, some_labels(name))
        write_frames(name, tmp_path, video, drawn[name])
        folder = tmp_path / "frames" / video
        return folder, lambda: load_benchmark(name, tmp_path, videos=[video])

    def test_a_missing_frame(self, shipped):
        folder, load = shipped
        sorted(folder.iterdir())[3].unlink()
        with pytest.raises(FileNotFoundError, match=r"number [34].*extract"):
            load()

    def test_fewer_frames_than_labels(self, shipped):
        folder, load = shipped
        labelled = len(load().rows)
        sorted(folder.iterdir())[-1].unlink()
        assert len(load().rows) == labelled - 1, "FFmpeg may round the last second down"
        sorted(folder.iterdir())[-1].unlink()
        with pytest.raises(FileNotFoundError, match=r"2 of 8 labelled frames .* are not in .*there are 6 frames"):
            load()

    def test_frames_that_start_elsewhere(self, shipped):
        folder, load = shipped
        first = min(folder.iterdir())
        if first.stem == "00001":  # which is AutoLaparo's first
            (folder / "00000.png").write_bytes(first.read_bytes())
            message = "has a frame 0, expected them to count from 1"
        else:
            for path in sorted(folder.iterdir(), reverse=True):
                path.rename(folder / f"{int(path.stem) + 2:05d}.png")
            message = "start with number 2, expected 0 or 1"
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            load()

    def test_more_frames_than_labels(self, shipped):
        folder, load = shipped
        last = sorted(folder.iterdir())[-1]
        for more in (1, 2):
            (folder / f"{int(last.stem) + more:05d}.png").write_bytes(last.read_bytes())
            if more == 1:
                load()  # FFmpeg may round up
        with pytest.raises(
            ValueError, match=r"has 10 frames and there are 8 labels, expected one each.*at 1 a second"
        ):
            load()

    def test_one_number_twice(self, shipped):
        folder, load = shipped
        first = min(folder.iterdir())
        first.with_suffix(".jpg").write_bytes(first.read_bytes())
        with pytest.raises(ValueError, match="keep one of them"):
            load()


def test_the_order_of_files_counts_where_no_frames_are_shipped(tmp_path, drawn):
    """FFmpeg counts files from 1; a folder that counts from 0 shows the same seconds."""
    write_native("cholec80_phases", tmp_path, "video41", some_labels("cholec80_phases"))
    write_frames("cholec80_phases", tmp_path, "video41", drawn["cholec80_phases"])
    folder = tmp_path / "frames" / "video41"
    before = load_benchmark("cholec80_phases", tmp_path, videos=["video41"]).videos["video41"].frames.read([3])
    for path in sorted(folder.iterdir(), reverse=True):
        path.rename(folder / f"{int(path.stem) + 1:05d}.png")
    after = load_benchmark("cholec80_phases", tmp_path, videos=["video41"])
    assert (before == after.videos["video41"].frames.read([3])).all()


def test_common_form_has_its_own_classes_and_prompts(tmp_path):
    write_common("autolaparo", tmp_path, {"15": some_labels("autolaparo")})
    benchmark = load_benchmark("autolaparo", tmp_path, source="labels")
    assert benchmark.prompts[6] == ("a view of Washing",)
    assert benchmark.protocol["prompts"] == "descriptions in test.json"
    assert benchmark.protocol["annotation"] == "common form"
    named = load_benchmark("autolaparo", tmp_path, source="labels", prompts="surgclip")
    assert named.prompts[6][0].startswith("The surgical field")
