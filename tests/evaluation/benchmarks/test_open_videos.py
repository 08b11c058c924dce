# SPDX-License-Identifier: Apache-2.0
import pytest

from surglavi_hf.evaluation import load_benchmark

from ..native_files import VIDEOS, copy_video, some_labels, write_frames, write_native


def test_frames_elsewhere(tmp_path, drawn):
    for name in ("autolaparo", "sar_rarp50"):
        video = VIDEOS[name][0][0]
        write_native(name, tmp_path / name / "labels_only", video, some_labels(name))
        write_frames(name, tmp_path / name / "elsewhere", video, drawn[name])
        frames_dir = tmp_path / name / "elsewhere" / ("frames" if name == "autolaparo" else ".")
        benchmark = load_benchmark(name, tmp_path / name / "labels_only", videos=[video], frames_dir=frames_dir)
        assert benchmark.protocol["input"] == "frame files"


def test_frames_and_videos_are_not_mixed(tmp_path, drawn):
    for video in ("15", "21"):
        write_native("autolaparo", tmp_path, video, some_labels("autolaparo"))
    write_frames("autolaparo", tmp_path, "15", drawn["autolaparo"])
    copy_video("autolaparo", tmp_path, "21", drawn["autolaparo"])
    with pytest.raises(ValueError, match="15 and 21 would be read, one from frames and one from its video"):
        load_benchmark("autolaparo", tmp_path, videos=["15", "21"])
    with pytest.raises(FileNotFoundError, match="frames of 21 is not in "):
        load_benchmark("autolaparo", tmp_path, videos=["15", "21"], source="frames")
