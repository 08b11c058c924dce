# SPDX-License-Identifier: Apache-2.0
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from surglavi_hf.data import DATABASE_NAME

from .reference import write_database

# Deterministic, and without a deadline: a slow machine is no failure.
settings.register_profile(
    "surglavi", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("surglavi")


@pytest.fixture(scope="session")
def database(tmp_path_factory) -> Path:
    """600 captions of 39 videos: NULLs, orphans, durations on and around the limits. Nothing may write to it."""
    rng = random.Random(0)
    videos = [
        {"video_id": index, "name": f"v{index}", "youtube_id": f"id{index}", "title": f"Vidéo {index}", "fps": 25}
        for index in range(1, 40)
    ]
    captions = []
    for index in range(1, 601):
        start, duration = rng.uniform(0, 100), rng.choice([0, 0.5, 3, 3.0000001, 200, 500, 500.001, 6000])
        captions.append(
            {
                "caption_id": index,
                "video_id": rng.randint(1, 45),  # some have no video
                "level_id": rng.randint(1, 3),
                "raw_narration": f"raw {index}",
                "start_time": start,
                "end_time": start + duration,
                "duration": duration,
                "is_surgical_content": rng.choice([0, 1, 1, None]),
                "is_descriptive": rng.choice([0, 1, 1, None]),
                "caption": rng.choice([f"Enriched {index}: naïve “quotes”", None]),
            }
        )
    path = tmp_path_factory.mktemp("database") / DATABASE_NAME
    return write_database(path, videos=videos, captions=captions)
