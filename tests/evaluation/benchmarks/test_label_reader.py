# SPDX-License-Identifier: Apache-2.0
import pytest

from surglavi_hf.evaluation import load_benchmark

from ..native_files import VIDEOS, some_labels, write_frames, write_native


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
