# SPDX-License-Identifier: Apache-2.0
import json
import textwrap
import uuid

import numpy as np
from datasets import load_dataset

from surglavi_hf.data import Takedown, add_to_takedown
from surglavi_hf.data.reviews import Review
from surglavi_hf.explorer.corpus import ADDED, APPROVED, CHANGED, DELETED, FLAGGED, Corpus
from surglavi_hf.explorer.facets import Facets
from surglavi_hf.explorer.words import WordIndex
from surglavi_hf.hub import push_dataset
from surglavi_hf.media.manifest import Attempt, Manifest


def reviewed(corpus, action, caption_id, after=None, before=None, follows=None):
    row = corpus.row_of[caption_id]
    return Review(
        id=uuid.uuid4().hex,
        time="2026-01-31T12:00:00.000+00:00",
        reviewer="Ana",
        action=action,
        caption_id=caption_id,
        video_id=int(corpus.videos.ids[corpus.video[row]]),
        video_name=corpus.videos.names[corpus.video[row]],
        before=before or {},
        after=after or {},
        follows=follows,
    )


def test_columns_are_those_that_load_dataset_gives(database):
    corpus = Corpus.of_database(database)
    options = {"filter_pairs": False, "max_duration": float("inf")}
    rows = load_dataset("surglavi", "all", data_dir=str(database), split="train", **options)
    assert corpus.caption_id.tolist() == rows["caption_id"][:]
    assert corpus.start.tolist() == rows["start_time"][:]
    assert (corpus.level - 1).tolist() == rows["level"][:]
    assert [corpus.text(row) for row in range(len(corpus))] == rows["caption"][:]
    assert corpus.words.tolist() == [len(text.split()) for text in rows["caption"]]
    assert [corpus.videos.names[place] for place in corpus.video] == rows["video_name"][:]
    assert corpus.transcription(0) == "all that was said"
    assert corpus.transcription(1) is None
    assert corpus.videos.titles[2] == "video 3"  # which has none


def test_reviews_are_laid_over_it(own):
    corpus = Corpus.of_database(own)
    count, text = len(corpus), corpus.text(corpus.row_of[2])
    log = corpus.reviews
    first = reviewed(corpus, "change", 2, {"end_time": 99.0}, {"end_time": 12.5})
    log.append(first)
    log.append(reviewed(corpus, "flag", 3))
    log.append(reviewed(corpus, "approve", 4))
    fields = corpus.fields(corpus.row_of[5])
    log.append(reviewed(corpus, "delete", 5, before=fields))
    new = log.append_new(
        lambda number: Review(
            id=uuid.uuid4().hex,
            time=first.time,
            reviewer="Ben",
            action="add",
            caption_id=number,
            video_id=20,
            video_name="video 2",
            before={},
            after=fields | {"caption": "A xylophone is played.", "level": 3},
        ),
        largest=60,
    )
    words = WordIndex(corpus, own / "explorer" / "words.db")
    facets = Facets(corpus, words)
    assert facets.overview({})["captions"] == 60
    version = corpus.version
    corpus.refresh()
    assert corpus.version > version
    states = {number: int(corpus.state[corpus.row_of[number]]) for number in (1, 2, 3, 4, 5, new.caption_id)}
    assert states == {1: 0, 2: CHANGED, 3: FLAGGED, 4: APPROVED, 5: DELETED, new.caption_id: ADDED}
    assert corpus.end[corpus.row_of[2]] == 99.0
    assert corpus.text(corpus.row_of[2]) == text
    assert len(corpus) == count + 1
    assert corpus.text(corpus.row_of[new.caption_id]) == "A xylophone is played."
    assert words.find("xylophone").rows.tolist() == [count]
    assert facets.captions({"review": ["added"]}).tolist() == [count]
    assert facets.captions({"review": ["deleted"]}).tolist() == [corpus.row_of[5]]
    assert facets.overview({})["captions"] == 60  # one more, one less
    assert corpus.row_of[5] not in facets.captions({}).tolist()
    assert count in corpus.rows_of_video(1).tolist()

    again = Corpus.of_database(own)
    for name in ("caption_id", "start", "end", "level", "state", "words", "surgical"):
        assert np.array_equal(getattr(again, name), getattr(corpus, name)), name

    lines = corpus.reviews.path.read_text().splitlines(keepends=True)
    corpus.reviews.path.write_text("".join([*lines[1:], *lines[1:2]]))  # another file, as long
    corpus.refresh()
    assert corpus.end[corpus.row_of[2]] == 12.5
    assert corpus.state[corpus.row_of[3]] == FLAGGED

    corpus.reviews.path.unlink()  # as somebody may who wants to begin anew
    corpus.refresh()
    assert len(corpus) == count
    assert not corpus.state.any()
    assert corpus.end[corpus.row_of[2]] == 12.5
    assert not len(words.find("xylophone").rows)


def test_reviews_of_another_corpus_change_nothing(own):
    corpus = Corpus.of_database(own)
    unknown = Review(
        id=uuid.uuid4().hex,
        time="2026-01-31T12:00:00.000+00:00",
        reviewer="Ana",
        action="flag",
        caption_id=7777,
        video_id=10,
        video_name="video 1",
        before={},
        after={},
    )
    corpus.reviews.append(unknown)
    corpus.refresh()
    assert len(corpus) == 60
    assert not corpus.state.any()


def test_what_was_taken_down_is_known(own):
    corpus = Corpus.of_database(own)
    add_to_takedown(corpus.takedown_path, "abcdefghi02")
    add_to_takedown(corpus.takedown_path, "caption:1")
    corpus.refresh()
    assert corpus.video_taken_down.tolist() == [False, True, False, False, False, False]
    expected = {row for row in range(len(corpus)) if corpus.video[row] == 1} | {corpus.row_of[1]}
    assert {*np.flatnonzero(corpus.taken_down).tolist()} == expected
    assert Takedown.read(corpus.takedown_path).videos == {"abcdefghi02"}


def test_what_is_on_disk_and_why_not(own):
    (own / "videos" / "video 1").mkdir(parents=True)
    (own / "videos" / "video 1" / "video 1.mp4").write_bytes(b"x")
    (own / "frames").mkdir()
    (own / "frames" / "video 2.arrow").write_bytes(b"x")
    corpus = Corpus.of_database(own)
    for status in ("network", "private"):
        attempt = Attempt(time="2026-01-31T12:00:00+00:00", name="video 3", source="abcdefghi03", status=status)
        Manifest(corpus.library.manifest_path).append(attempt)
    assert corpus.disk().tolist() == ["video", "frames", "private", "not tried", "not tried", "not tried"]


OF_HUB = """
import json, surglavi_hf
from surglavi_hf.explorer.corpus import Corpus

corpus = Corpus.of_hub("me/surglavi")
texts = [corpus.text(row) for row in range(len(corpus))]
columns = [corpus.caption_id.tolist(), corpus.start.tolist(), texts, corpus.videos.titles, corpus.transcription(0)]
print(json.dumps([*columns, corpus.disk().tolist(), int(corpus.taken_down.sum())]))
"""


def test_a_pushed_dataset_is_the_same_corpus(own, hub_server, stranger):
    push_dataset(own, "me/surglavi")
    corpus = Corpus.of_database(own)
    kept = [row for row in range(60) if corpus.surgical[row] and corpus.descriptive[row]]
    numbers, starts, texts, titles, said, disk, taken_down = json.loads(stranger(OF_HUB))
    assert numbers == corpus.caption_id[kept].tolist()
    assert starts == corpus.start[kept].tolist()
    assert texts == [corpus.text(row) for row in kept]
    assert titles == corpus.videos.titles
    assert said == "all that was said"
    assert disk == ["not here"] * 6
    assert not taken_down


def test_a_dataset_of_others_is_refused(stranger):
    script = """
        from surglavi_hf.explorer.corpus import Corpus
        try:
            Corpus.of_hub("me/nothing")
        except OSError as error:
            print(type(error).__name__, error)
    """
    assert "me/nothing" in stranger(textwrap.dedent(script))
