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
