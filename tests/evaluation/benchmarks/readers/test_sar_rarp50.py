# SPDX-License-Identifier: Apache-2.0
import pytest

from surglavi_hf.evaluation import load_benchmark

from ...native_files import VIDEOS, save_frame, some_labels, write_frames, write_native


def test_labels_are_at_ten_hertz(tmp_path, drawn):
    """Every sixth frame of 60 a second, even where all frames lie beside them."""
    labels = some_labels("sar_rarp50")
    write_native("sar_rarp50", tmp_path / "test_set", "video_41", labels)
    write_frames("sar_rarp50", tmp_path / "test_set", "video_41", drawn["sar_rarp50"])
    benchmark = load_benchmark("sar_rarp50", tmp_path, videos=VIDEOS["sar_rarp50"][0][:1])
    assert benchmark.rows["frame"][:3] == [0, 6, 12] and benchmark.rows["time"][:2] == [0.0, pytest.approx(0.1)]
    before = benchmark.videos["video_41"].frames.names
    for number in (1, 2, 3, 4, 5, 7):
        frame = benchmark.videos["video_41"].frames.read([0])[0]
        save_frame(frame, tmp_path / "test_set" / "video_41" / "rgb" / f"{number:09d}.png")
    assert load_benchmark("sar_rarp50", tmp_path, videos=["video_41"]).videos["video_41"].frames.names == before


@pytest.mark.parametrize(
    "content, message",
    [
        ("000000000,0\n000000007,0", r"action_discrete\.txt, line 2: frame 7, expected 6; rows are missing"),
        ("000000000,8", "line 1: action '8', expected a whole number from 0 to 7"),
        ("000000000;0", "line 1: 1 cells, expected 2"),
        ("\x00", r"action_discrete\.txt, line 1: 1 cells"),
    ],
)
def test_errors_name_file_and_line(tmp_path, content, message):
    (tmp_path / "video_41").mkdir()
    (tmp_path / "video_41" / "action_discrete.txt").write_text(content)
    with pytest.raises(ValueError, match=message):
        load_benchmark("sar_rarp50", tmp_path, videos=["video_41"], source="labels")
