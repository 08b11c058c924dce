# SPDX-License-Identifier: Apache-2.0
import shutil
from collections import Counter

import pytest
from datasets import load_dataset

from surglavi_hf.data import DATABASE_NAME, estimate_download, read_database_videos
from surglavi_hf.media import Attempt, Manifest, plan_downloads

from .reference import sound_captions, write_database


def test_videos_and_captions(database):
    videos = read_database_videos(database.parent)
    assert videos.library.root == database.parent
    assert [source.name for source in videos.sources] == [f"v{number}" for number in range(1, 40)]
    assert videos.sources[0].youtube_id == "id1"
    expected = Counter((f"v{row['video_id']}", row["level"]) for row in sound_captions(database))
    counted = {(name, level): count for name, levels in videos.captions.items() for level, count in levels.items()}
    assert counted == expected
    table = load_dataset(
        "surglavi", data_dir=str(database.parent), filter_pairs=False, max_duration=1e9, split="train"
    )
    names = table.features["level"].names
    total = videos.count_captions(source.name for source in videos.sources)
    assert total == {name: table["level"].count(names.index(name)) for name in ("phase", "step", "task")}
    assert videos.count_captions(["v1", "nothing"])["task"] == videos.captions["v1"][1]


@pytest.fixture
def few(tmp_path):
    rows = [
        {"video_id": 1, "name": "a", "youtube_id": "-9uZldT-tSk", "duration": 3600.0},
        {"video_id": 2, "name": "b", "youtube_id": "-9uZldT-tSk", "url": "https://vimeo.com/1", "duration": 1800.0},
        {"video_id": 3, "name": "c", "youtube_id": None, "duration": None},
        {"video_id": 4, "name": None, "youtube_id": "-9uZldT-tSk", "duration": 1.0},
    ]
    captions = [
        {"caption_id": number, "video_id": number, "level_id": 1, "start_time": 0, "end_time": 1, "duration": 1}
        for number in (1, 2, 3)
    ]
    write_database(tmp_path / DATABASE_NAME, videos=rows, captions=[row | {"caption": "x"} for row in captions])
    return read_database_videos(tmp_path)


def test_addresses(few):
    assert [source.address for source in few.sources] == [
        *("https://www.youtube.com/watch?v=-9uZldT-tSk", "https://vimeo.com/1", None)
    ]


def test_estimate(few):
    """Unknown durations count as the mean; sizes are supposed until enough were measured."""
    few.library.video_path("b").parent.mkdir(parents=True)
    few.library.video_path("b").touch()
    estimate = estimate_download(few, plan_downloads(few.library, few.sources), 480)
    assert (estimate.videos, estimate.there, estimate.hours, estimate.measured) == (2, 1, 2.0, 0)
    assert estimate.size == pytest.approx(7200 * 0.86e6 / 8) and estimate.captions["task"] == 2
    assert estimate.download_hours == pytest.approx(15 / 3600), "one of the two is YouTube's"
    larger = estimate_download(few, plan_downloads(few.library, few.sources), 1080)
    assert larger.size == pytest.approx(7200 * 2.3e6 / 8, rel=0.05)
    for number in range(5):
        attempt = Attempt("2026-01-01T00:00:00+00:00", f"v{number}", "x", "ok", size=1000, duration=10.0, seconds=1.0)
        Manifest(few.library.manifest_path).append(attempt)
    adopted = Attempt("2026-01-01T00:00:00+00:00", "large", "x", "ok", size=10**9, duration=10.0)
    Manifest(few.library.manifest_path).append(adopted)
    assert larger.free == pytest.approx(shutil.disk_usage(few.library.root).free, rel=0.1)
    measured = estimate_download(few, plan_downloads(few.library, few.sources), 480)
    assert measured.measured == 5 and measured.size == 720_000
