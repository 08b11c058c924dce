# SPDX-License-Identifier: Apache-2.0
import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surglavi_hf.annotate.transcripts import (
    MOST_WORDS,
    Sentence,
    Transcript,
    Word,
    join_words,
    read_transcript,
    read_transcripts,
    sentences_of,
    spread,
    transcript_path,
    transcripts_dir,
    words_of_pieces,
    write_transcript,
)


def transcript_of(words, **values) -> Transcript:
    return Transcript("v", "en", tuple(words), "faster-whisper", **values)


def spoken(text: str, pauses: dict[int, float] | None = None) -> Transcript:
    """Words of 0.3 s, 0.1 s apart; `pauses` come before the words of these numbers."""
    words, time = [], 0.0
    for number, word in enumerate(text.split()):
        time += (pauses or {}).get(number, 0.1)
        words.append(Word(word, time, time + 0.3, 0.5))
        time += 0.3
    return transcript_of(words)


def texts(transcript: Transcript) -> list[str]:
    return [sentence.text for sentence in sentences_of(transcript)]


@pytest.mark.parametrize(
    "text, number",
    [
        ("We cut. Then we look! Do we? Yes", 4),
        ("Dr. Smith cuts 3.5 cm with forceps No. 5 here. Good.", 2),
        ("Clips, e.g. metal ones, are used. J. Doe said so.", 2),
        ('He said "cut it." Then we cut.', 2),
        ("No. We stop.", 2),
        ("Well... we wait. Done", 2),
        ("هل ترى؟ نعم هذا۔ جيد", 3),
        ("हम काटते हैं। अब देखो॥ ठीक", 3),
        ("Это печень. Мы режем.", 2),
    ],
)
def test_sentences_end_at_full_stops(text, number):
    found = texts(spoken(text))
    assert len(found) == number and " ".join(found) == text


def test_scripts_without_blanks():
    words = spread("我们打开腹腔。然后我们看,「肝」。好 现在用Hook夹", 1.0, 5.0)
    found = sentences_of(transcript_of(words))
    assert [sentence.text for sentence in found] == ["我们打开腹腔。", "然后我们看,「肝」。", "好现在用 Hook 夹"]
    assert found[0].start == 1.0 and found[-1].end == 5.0
    assert join_words(["clip", "applier", "を", "使", "う"]) == "clip applier を使う"


def test_pauses_end_sentences_where_nobody_wrote_full_stops():
    found = sentences_of(spoken("so we take the hook now we burn it", {5: 1.0, 6: 0.9}))
    assert [sentence.text for sentence in found] == ["so we take the hook", "now we burn it"]
    assert found[0] == Sentence("so we take the hook", 0.1, pytest.approx(2.0), 0.5)


def test_speech_without_end_is_cut_at_its_longest_pauses():
    transcript = spoken(" ".join(f"w{number}" for number in range(150)), {40: 0.6, 45: 0.4, 95: 0.5})
    counts = [len(text.split()) for text in texts(transcript)]
    assert counts == [40, 55, 55] and max(counts) <= MOST_WORDS
    even = [len(text.split()) for text in texts(spoken(" ".join(["word"] * 61)))]
    assert sum(even) == 61 and min(even) >= 15


def test_a_hundred_thousand_words_take_no_time():
    words = [Word("word", number * 0.3, number * 0.3 + 0.3) for number in range(100_000)]
    found = sentences_of(transcript_of(words))
    assert sum(len(sentence.text.split()) for sentence in found) == 100_000
    assert max(len(sentence.text.split()) for sentence in found) <= MOST_WORDS


WORD = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8).filter(str.strip)
WORDS = st.lists(st.tuples(WORD | st.sampled_from(["cut.", "Dr.", "肝。"]), st.floats(0, 3), st.floats(0, 1)))


@given(WORDS)
def test_every_word_is_in_exactly_one_sentence(drawn):
    words, time = [], 0.0
    for text, pause, confidence in drawn:
        words.append(Word(text.strip(), time + pause, time + pause + 0.2, confidence))
        time = words[-1].end
    transcript = transcript_of(words)
    found = sentences_of(transcript)
    assert "".join(s.text for s in found).replace(" ", "") == transcript.text.replace(" ", "")
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert {s.start for s in found} <= {w.start for w in words} and {s.end for s in found} <= {w.end for w in words}


# Of Latin, Cyrillic, Arabic, Persian, Devanagari, Thai, Khmer, Burmese, Han, kana, Hangul; and two words in one.
LETTERS = "aZé\u0301жبمی\u200cक्\u200dषกำខែမြ肝我ーかナ간()\"'«.?!。؟।-–5٣😀"
ANY_WORD = WORD | st.text(LETTERS, min_size=1, max_size=6) | st.sampled_from(["gall bladder", "我 of 肝", "-up", "10"])


@given(st.lists(st.tuples(ANY_WORD, st.floats(0, 3), st.floats(0, 1), st.booleans())))
def test_what_is_written_is_read(tmp_path, drawn):
    """And what is read counts as not edited, also where an editor lays the file out anew."""
    words, time = [], 0
    for text, pause, confidence, whole in drawn:
        start = round(time + pause) if whole and round(time + pause) >= time else time + pause
        words.append(Word(" ".join(text.split()), start, start, confidence or None))
        time = words[-1].end
    transcript = transcript_of(words, model="tiny", translated=True, settings={"a": [1]}, language_probability=0.5)
    path = tmp_path / "a" / "v.json"
    write_transcript(path, transcript)
    assert read_transcript(path) == transcript and not transcript.edited
    other = json.loads(
        path.read_text(), parse_float=lambda text: int(float(text)) if text.endswith(".0") else float(text)
    )
    path.write_text(json.dumps(other, indent=2))
    assert read_transcript(path) == transcript
    write_transcript(path, read_transcript(path))
    assert read_transcript(path) == transcript


@pytest.fixture
def ours(tmp_path):
    """Writes a transcript of two sentences, lets somebody edit its JSON, and returns what is read then."""

    def edit(change) -> Transcript:
        write_transcript(tmp_path / "v.json", spoken("We cut the liver. Then we look."))
        content = json.loads((tmp_path / "v.json").read_text())
        change(content, *content["segments"])
        (tmp_path / "v.json").write_text(json.dumps(content))
        return read_transcript(tmp_path / "v.json")

    return edit


@pytest.mark.parametrize(
    "change", ["text", "start", "score", "both", "blank", "emptied", "added", "removed", "inserted"]
)
def test_words_that_somebody_edited(ours, change):
    """The texts of segments may lag behind; a blank joins nothing, and what is emptied says nothing."""

    def edit(content, first, second):
        word = first["words"][3]
        if change == "text":
            word["word"] = "bowel."
        elif change == "start":
            word["start"] -= 0.05
        elif change == "score":
            word.pop("score")
        elif change == "both":
            word["word"], first["text"] = "bowel.", "We cut the  bowel."
        elif change == "blank":
            word["word"] = " bowel. "
        elif change == "emptied":
            first["words"] = []
        elif change == "added":
            content["segments"].append({"start": 5.0, "end": 6.0, "text": "Good."})
        elif change == "removed":
            del content["segments"][0]
        else:
            first["words"].insert(3, {"word": "whole"})

    found = ours(edit)
    assert found.edited
    whole = "We cut the liver. Then we look."
    bowel = whole.replace("liver", "bowel")
    assert found.text == {
        **{"text": bowel, "both": bowel, "blank": bowel, "emptied": "Then we look.", "removed": "Then we look."},
        **{"added": f"{whole} Good.", "inserted": whole.replace("liver", "whole liver")},
    }.get(change, whole)


def test_a_text_that_is_edited_without_its_words(ours):
    def text_alone(content, first, second):
        second["text"] = "Then we stop."

    def also_of_old(content, first, second):
        content.pop("digest")
        content.pop("digest_of_texts")
        second["text"] = "Then we stop."

    def beside_words(content, first, second):
        first["words"][3]["word"], first["text"] = "bowel.", "We cut the bowel."
        second["text"] = "Then we stop."

    for change in (text_alone, also_of_old, beside_words):
        with pytest.raises(ValueError, match=r"segment 2: text 'Then we stop\.', but its words are") as caught:
            ours(change)
        said = str(caught.value)
        assert "\n" not in said and "v.json cannot be read" in said and "edit the words, which count" in said
        assert said.endswith("; mend it, or delete it to transcribe the video anew")

    def deleted(content, first, second):
        del second["text"]

    assert not ours(deleted).edited


def test_what_has_no_digest_is_not_edited(ours, tmp_path):
    def old(content, first, second):
        del content["digest"]
        first["words"][3]["word"], first["text"] = "bowel.", "We cut the bowel."

    def of_others(content, first, second):
        content["digest"] = "3"
        del content["source"]
        first["text"] = "anything"

    assert not ours(old).edited and not ours(of_others).edited
    assert ours(lambda content, *_: content.update(digest=None)).edited


def test_a_word_with_blanks_within():
    assert Word("gall bladder", 0, 1).text == "gall bladder"
    for text in ("gall  bladder", "10\u00a0mm", "a\u2028b", " a", ""):
        with pytest.raises(ValueError, match="without blanks around or side by side"):
            Word(text, 0, 1)


def test_the_folder_of_a_corpus(tmp_path):
    assert read_transcripts(tmp_path) == {}
    assert transcripts_dir(tmp_path) == tmp_path / "annotate" / "transcripts"
    for name in ("b", "a.mp4", "операция"):
        write_transcript(transcript_path(tmp_path, name), replace(spoken("We cut."), video=name))
    assert list(read_transcripts(tmp_path)) == ["a.mp4", "b", "операция"]
    transcript_path(tmp_path, "b").rename(transcript_path(tmp_path, "c"))
    with pytest.raises(ValueError, match=r"c\.json is of video 'b', expected 'c'; mend it, or delete it"):
        read_transcripts(tmp_path)
    with pytest.raises(ValueError, match="cannot be a file name"):
        transcript_path(tmp_path, "../b")


def read(tmp_path, content, name="of others.json") -> Transcript:
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / name).write_text(text)
    return read_transcript(tmp_path / name)


def spans(transcript) -> list[tuple]:
    return [(word.text, round(word.start, 3), round(word.end, 3)) for word in transcript.words]


def test_whisperx(tmp_path):
    """Numbers have no times there."""
    words = [
        {"word": "Cut", "start": 1.0, "end": 1.5, "score": 0.9},
        {"word": "10"},
        {"word": "mm."},
        {"word": "Then", "start": 2.5, "end": 3.0, "score": 0.8},
        {"word": "20"},
    ]
    found = read(tmp_path, {"segments": [{"start": 1.0, "end": 4.0, "text": "", "words": words}], "language": "de"})
    assert spans(found) == [
        ("Cut", 1.0, 1.5),
        ("10", 1.5, 1.9),
        ("mm.", 1.9, 2.5),
        ("Then", 2.5, 3.0),
        ("20", 3.0, 4.0),
    ]
    assert (found.video, found.language, found.source, found.model) == ("of others", "de", "database", None)
    assert [word.confidence for word in found.words] == [0.9, None, None, 0.8, None]


def test_openai_whisper(tmp_path):
    words = [
        {"word": " The", "start": 0.0, "end": 0.2, "probability": 0.9},
        {"word": " clip", "start": 0.2, "end": 0.4, "probability": 0.8},
        {"word": "-applier", "start": 0.4, "end": 0.8, "probability": 0.6},
    ]
    plain = [{"start": 1.0, "end": 2.0, "text": " a bcd\n"}, {"start": 1.5, "end": 3.0, "text": " overlaps"}]
    found = read(tmp_path, {"text": "", "segments": [{"id": 0, "words": words}, *plain]})
    assert spans(found) == [
        ("The", 0.0, 0.2),
        ("clip-applier", 0.2, 0.8),
        ("a", 1.0, 1.25),
        ("bcd", 1.25, 2.0),
        ("overlaps", 1.5, 3.0),
    ]
    assert found.words[1].confidence == 0.6
    assert spans(read(tmp_path, plain)) == spans(found)[2:], "a list of segments alone"


def test_pieces_of_scripts_without_blanks_stay_apart():
    found = words_of_pieces(
        [(" 我", 0, 1, 0.5), ("们", 1, 2, 0.5), ("。", 2, 2, None), (" a", 2, 3, 1), ("b", 3, 4, 1)]
    )
    assert [word.text for word in found] == ["我", "们", "。", "ab"]


SEGMENT = {"start": 0.0, "end": 1.0, "text": "a", "words": [{"word": "a", "start": 0.0, "end": 1.0}]}


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "Expecting value"),
        ("[" * 100_000, "recursion"),
        ('{"segments": [], "segments": []}', "'segments' is there twice"),
        ({}, "no segments"),
        ("3", "no segments"),
        ({"segments": {}}, "no segments"),
        ({"segments": [3]}, "segment 1: '3', expected an object"),
        ({"segments": [{}]}, "segment 1: text 'None'"),
        ({"segments": [{"text": "a"}]}, "segment 1: from None to None"),
        ({"segments": [{"text": "a", "start": 2, "end": 1}]}, "from 2 to 1"),
        ({"segments": [{"text": "a", "start": -1, "end": 1}]}, "from -1 to 1"),
        ({"segments": [{"text": "a", "start": "0", "end": 1}]}, "from 0 to 1, expected seconds"),
        ({"segments": [{"text": "a", "start": True, "end": 1}]}, "from True to 1"),
        ('{"segments": [{"text": "a", "start": NaN, "end": 1}]}', "NaN, expected a finite number"),
        ('{"segments": [{"text": "a", "start": 0, "end": Infinity}]}', "Infinity, expected"),
        ('{"segments": [{"text": "a", "start": 0, "end": 1e999}]}', "from 0 to inf"),
        ('{"segments": [{"text": "a", "start": 0, "end": 1' + "0" * 400 + "}]}", "segment 1|huge|too large|Exceeds"),
        ({"segments": [{"text": "a", "start": 0, "end": 1e6}]}, "from 0 to 1000000"),
        ({"segments": [SEGMENT | {"words": "a"}]}, "words 'a', expected a list"),
        ({"segments": [SEGMENT | {"words": ["a"]}]}, "word 'a', expected an object"),
        ({"segments": [SEGMENT | {"words": [{"word": "a", "start": "0", "end": 1}]}]}, "start '0', expected a number"),
        ({"segments": [SEGMENT | {"words": [{"word": "a", "start": 0, "end": -1}]}]}, "from 0 to -1 s"),
        ({"segments": [SEGMENT | {"words": [{"word": "a", "start": 0, "end": 1, "score": 7}]}]}, "confidence 7"),
        ({"segments": [SEGMENT | {"words": [{"word": "a\u001b[2J", "start": 0, "end": 1}]}]}, "control characters"),
        ({"segments": [{"text": "a\ud800", "start": 0, "end": 1}]}, "control characters"),
        ({"segments": [{"text": "b", "start": 9, "end": 9}, SEGMENT]}, "starts at 0.0 s, after one at 9"),
        ({"segments": [SEGMENT], "video": "../a"}, "video '../a', expected the name"),
        ({"segments": [SEGMENT], "video": 3}, "video '3'"),
        ({"segments": [SEGMENT], "language": "<b>"}, "language '<b>', expected a code"),
        ({"segments": [SEGMENT], "language": ["en"]}, "language"),
        ({"segments": [SEGMENT], "source": "me"}, "source 'me', expected one of faster-whisper"),
        ({"segments": [SEGMENT], "source": ["me"]}, "source"),
        ({"segments": [SEGMENT], "translated": 1}, "translated '1'"),
        ({"segments": [SEGMENT], "model": 3}, "model '3'"),
        ({"segments": [SEGMENT], "settings": []}, "settings"),
        ({"segments": [SEGMENT], "settings": {"a": "b" * 10_001}}, "settings"),
        ({"segments": [SEGMENT], "language_probability": "1"}, "language_probability"),
    ],
)
def test_hostile_files(tmp_path, content, message):
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path, content)
    said = str(caught.value)
    assert "\n" not in said and "of others.json cannot be read" in said and len(said) < 500 and said.isprintable()


def test_marks_that_nobody_sees(tmp_path):
    """Persian is written with zero-width joints; other invisible marks go."""
    found = read(tmp_path, [{"text": "\ufeffمی\u200cشود \u200e(a)", "start": 0, "end": 1}])
    assert [word.text for word in found.words] == ["می\u200cشود", "(a)"]
