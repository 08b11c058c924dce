# SPDX-License-Identifier: Apache-2.0
import hashlib
import json

import pytest

from surglavi_hf.data.trained_on import NO_RECORD, RECORDED, TrainedOn, read_trained_on, video_keys


def test_a_key_is_of_the_id_or_of_the_name_where_there_is_none():
    def key(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    videos = [("dQw4w9WgXcQ", "a"), (" dQw4w9WgXcQ ", "copy of a"), ("dqw4w9wgxcq", "b"), (None, "c"), ("", "d")]
    assert video_keys(videos) == {key("dQw4w9WgXcQ"), key("dqw4w9wgxcq"), key("c"), key("d")}


def test_what_is_recorded_is_read(tmp_path):
    one, two = sorted(video_keys([("one", "x"), ("two", "y")]))
    for trained_on in (TrainedOn(frozenset({one, two})), TrainedOn(frozenset({one}), "one of them says nothing")):
        assert set(trained_on.recorded()) <= set(RECORDED)
        settings = {"validation_fraction": 0.1, "test_fraction": None, **trained_on.recorded()}
        (tmp_path / "training.json").write_text(json.dumps(settings))
        found = read_trained_on(str(tmp_path))
        assert (found.videos, found.unknown, found.held_out) == (trained_on.videos, trained_on.unknown, 0.1)
    assert TrainedOn(frozenset({two, one})).recorded() == {"trained_on": [one, two]}


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"trained_on": 5}', '{"trained_on": ["procedure-001"]}', '{"trained_on": [null]}']
)
def test_a_record_that_is_none_is_unknown(tmp_path, content):
    """Not 0: a model trained before this was recorded, or a damaged file."""
    (tmp_path / "training.json").write_text(content)
    found = read_trained_on(str(tmp_path))
    assert not found.videos and found.unknown == "its training.json does not say which videos it was trained on"
    (tmp_path / "training.json").unlink()
    assert read_trained_on(str(tmp_path)).unknown == read_trained_on("me/nowhere").unknown == NO_RECORD
