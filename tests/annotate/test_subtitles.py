# SPDX-License-Identifier: Apache-2.0
import pytest

from surglavi_hf.annotate.subtitles import find_subtitles, read_subtitles, unused_subtitles
from surglavi_hf.annotate.transcripts import read_transcript, sentences_of, write_transcript

# As YouTube writes them: each line rolls up, and is shown alone for 10 ms.
ROLLING = """WEBVTT
Kind: captions
Language: en

00:00:00.500 --> 00:00:03.000 align:start position:0%

so<00:00:00.700><c> here</c><00:00:01.200><c> we</c><00:00:01.500><c> see</c>

00:00:03.000 --> 00:00:03.010 align:start position:0%
so here we see


00:00:03.010 --> 00:00:06.000 align:start position:0%
so here we see
the<00:00:03.500><c> liver</c><00:00:04.000><c> and</c>

00:00:06.000 --> 00:00:06.010 align:start position:0%
the liver and


00:00:06.010 --> 00:00:09.000 align:start position:0%
the liver and
[Music]
"""


def read(tmp_path, text, name="v.srt"):
    (tmp_path / name).write_text(text)
    return read_subtitles(tmp_path / name, "v")


def srt(*cues) -> str:
    return "\n".join(
        f"{number}\n00:00:{start:06.3f} --> 00:00:{end:06.3f}\n{text}\n".replace(".", ",", 2)
        for number, (start, end, text) in enumerate(cues, start=1)
    )


def spans(found) -> list[tuple]:
    return [(word.text, round(word.start, 2), round(word.end, 2)) for word in found.transcript.words]


def test_words_share_the_time_of_their_subtitle(tmp_path):
    found = read(tmp_path, srt((1, 3, "We <i>cut</i>\nit now."), (5, 6, "Done")))
    assert spans(found) == [
        ("We", 1.0, 1.36),
        ("cut", 1.36, 1.91),
        ("it", 1.91, 2.27),
        ("now.", 2.27, 3.0),
        ("Done", 5.0, 6.0),
    ]
    transcript = found.transcript
    assert (transcript.source, transcript.language, transcript.model) == ("subtitles", None, None)
    assert [sentence.text for sentence in sentences_of(transcript)] == ["We cut it now.", "Done"]
    write_transcript(tmp_path / "v.json", transcript)
    assert read_transcript(tmp_path / "v.json") == transcript


def test_lines_that_roll_up_are_taken_once(tmp_path):
    found = read(tmp_path, ROLLING, "v.en.vtt")
    assert found.transcript.text == "so here we see the liver and"
    assert (found.num_repeated, found.num_removed, found.transcript.language) == (4, 1, "en")
    starts = {word.text: word.start for word in found.transcript.words}
    assert starts["so"] == 0.5 and starts["the"] == 3.01 and found.transcript.words[-1].end == 6.0


def test_a_sentence_that_is_said_again_later_stays(tmp_path):
    found = read(tmp_path, srt((0, 1, "Cut."), (1, 2, "Cut."), (5, 6, "Cut.")))
    assert spans(found) == [("Cut.", 0, 1), ("Cut.", 5, 6)] and found.num_repeated == 1


def test_subtitles_that_overlap_or_are_out_of_order(tmp_path):
    found = read(tmp_path, srt((4, 6, "last"), (0, 3, "first"), (2, 5, "second"), (2, 4, "third")))
    assert spans(found) == [("first", 0, 2), ("second", 2, 5), ("third", 2, 5), ("last", 4, 6)]


def test_what_nobody_says_is_left_out_and_counted(tmp_path):
    cues = [
        (0, 1, "[Music] We cut [coughs] it"),
        (1, 2, "♪ la la ♪"),
        (2, 3, "(applause)"),
        (3, 4, ">> DR. SMITH: The liver (left) &amp; bowel"),
        (4, 5, "- Yes"),
        (5, 6, "<font color=red>♪♪</font>"),
        (6, 7, "SURGEON: so: cut"),
    ]
    found = read(tmp_path, srt(*cues))
    assert found.transcript.text == "We cut it DR. SMITH: The liver (left) & bowel Yes so: cut"
    assert found.num_removed == 8


def test_scripts_without_blanks(tmp_path):
    found = read(
        tmp_path,
        srt(
            (0, 2, "切る。見る"),
        ),
    )
    assert spans(found) == [("切", 0, 0.4), ("る。", 0.4, 1.2), ("見", 1.2, 1.6), ("る", 1.6, 2.0)]


@pytest.mark.parametrize(
    "text, message",
    [
        ("hello", r"v\.srt"),
        ("", "has no subtitles"),
        (srt((3, 1, "a")), "subtitle 1: from 3 to 1 s, expected 0 <= start <= end; mend it"),
        (srt((0, 1, "a\x1b[2Jb")), r"v\.srt: text .* expected one without control characters; mend it"),
        ("1\n99:00:00,000 --> 99:00:01,000\na\n", r"v\.srt: word 'a' from 356400"),
    ],
)
def test_files_that_are_none(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path, text)
    assert str(caught.value).isprintable()


def test_which_file_is_taken(tmp_path):
    def found(video=None, language=None):
        path = find_subtitles(tmp_path, video, language)
        return path and path.name

    assert find_subtitles(tmp_path / "gone") is None and found("v") is None
    for name in ("v.json", ".v.srt", "v.mp4", "other.srt"):
        (tmp_path / name).touch()
    assert found("v") is None and found() == "other.srt"
    for name in ("v.fr.vtt", "v.en.vtt", "v.fr-orig.vtt", "v.SRT"):
        (tmp_path / name).touch()
    assert found("v") == found("v", "de") == "v.SRT", "its language is not known"
    (tmp_path / "v.SRT").unlink()
    assert (found("v"), found("v", "en"), found("v", "fr"), found("v", "de")) == (
        *("v.fr-orig.vtt", "v.en.vtt", "v.fr-orig.vtt"),
        None,
    )
    (tmp_path / "a.b.srt").touch()
    assert found("a.b") == "a.b.srt" and found("a") is None


def test_a_file_is_of_the_video_that_has_its_whole_name(tmp_path):
    for name in ("a.tep.srt", "a.en.srt", "b.srt", ".c.srt", "d.en.vtt", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "e.srt").mkdir()
    assert find_subtitles(tmp_path, "a", "tep").name == "a.tep.srt"
    assert find_subtitles(tmp_path, "a", "tep", ("a", "a.tep")) is None
    assert find_subtitles(tmp_path, "a.tep", None, ("a", "a.tep")).name == "a.tep.srt"
    assert unused_subtitles(tmp_path, ("a", "d")) == ["b.srt"]
    assert unused_subtitles(tmp_path, ("a.tep", "b", "e")) == ["a.en.srt", "d.en.vtt"]
    assert unused_subtitles(tmp_path / "gone", ()) == []
