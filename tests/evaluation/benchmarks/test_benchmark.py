# SPDX-License-Identifier: Apache-2.0
import pytest

from surglavi_hf.evaluation import load_benchmark

from ..native_files import some_labels, write_frames, write_native


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


def test_a_part_of_the_videos(tmp_path):
    for video in ("15", "16"):
        write_native("autolaparo", tmp_path, video, some_labels("autolaparo"))
    benchmark = load_benchmark("autolaparo", tmp_path, videos=["15", "16"], source="labels")
    assert set(benchmark.select(["16"]).rows["video"]) == {"16"}
    with pytest.raises(ValueError, match="autolaparo has no video '17', expected some of 15, 16"):
        benchmark.select(["17"])


def test_the_fingerprint_is_of_the_files_too(tmp_path):
    """Other bytes of the same number, at the beginning, in the middle or at the end of a frame."""
    write_native("autolaparo", tmp_path, "15", [0, 1])
    frames = tmp_path / "frames" / "15"
    frames.mkdir(parents=True)
    for number in (1, 2):
        (frames / f"{number:04d}.png").write_bytes(bytes(100_000))
    seen = {load_benchmark("autolaparo", tmp_path, videos=["15"]).fingerprint}
    for count, place in enumerate((0, 50_000, 99_999), start=2):
        changed = bytearray(100_000)
        changed[place] = 1
        (frames / "0002.png").write_bytes(changed)
        seen.add(load_benchmark("autolaparo", tmp_path, videos=["15"]).fingerprint)
        assert len(seen) == count


def test_a_selection_says_what_it_is(tmp_path):
    for video in ("15", "16"):
        write_native("autolaparo", tmp_path, video, [0, 1, 2])
    both = load_benchmark("autolaparo", tmp_path, videos=["15", "16"], source="labels")
    one = both.select(["16"]).protocol
    assert (one["videos"], one["num_videos"], one["num_labelled_frames"], one["num_listed_frames"]) == ("16", 1, 3, 3)
    assert both.protocol["num_labelled_frames"] == 6
