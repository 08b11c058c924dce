# SPDX-License-Identifier: Apache-2.0
"""What is said in a video, word by word with times, on disk in the form that WhisperX writes."""

import json
import math
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from ..files import digest_of, write_text
from ..media import is_file_name
from ..named_values import each_once
from ..text_tables import read_text

FOLDER = "annotate"  # of a corpus; all that this room keeps lies there
EXPORTED = ".words.json"  # how names of transcripts end that an export wrote
SOURCES = ("faster-whisper", "transformers", "subtitles", "database")
PAUSE_S = 1.0  # a sentence ends where nobody speaks for as long
MOST_WORDS = 60  # of a sentence; speech without pauses and full stops is cut
LONGEST_S = 86400.0  # a day, as of sound
_LEAST_WORDS = 15  # of a piece of such speech
_LONGEST_WORD = 1000  # characters
_LARGEST_FILE = 1 << 28  # bytes
_LONGEST_SETTINGS = 10_000  # characters
_DISORDER_S = 1.0  # by how much the segments of others may overlap
_REMEDY = "mend it, or delete it to transcribe the video anew"
_OURS = {"video", "source", "settings"}  # keys that files of others have not

_ENDS = ".!?。．｡！？؟۔।॥։።။។\u037e"
_CLOSERS = "\"'”’»›)]}）」』】》"
_HESITATION = ("...", "…")
_ABBREVIATIONS = frozenset(
    ("al", "approx", "bzw", "ca", "cf", "dr", "drs", "etc", "hr", "mr", "mrs", "ms", "prof", "sr", "st", "vs")
)
_BEFORE_NUMBERS = frozenset(("no", "nos", "nr", "fig", "vol", "p", "pp", "art", "sec", "ch"))
_INITIALS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")  # J., e.g., i.e., U.S.
# Scripts that put no blanks between words. Han, kana and their marks are read letter by letter.
_HAN = "\u3000-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uff65\U00020000-\U0003ffff"
_UNSPACED = re.compile(rf"[{_HAN}\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
_PIECES = re.compile(rf"[{_HAN}]|[^{_HAN}]+")
_JOINERS = "\u200c\u200d"  # which Persian and Devanagari are written with


@dataclass(frozen=True)
class Word:
    """
    A word that is said.

    Args:
        text: Without blanks around; within it, single ones.
        start, end: In seconds of the video, as clips count.
        confidence: Of the model, from 0 to 1; None where nothing is known of it.

    Raises:
        ValueError: one of them is none.
    """

    text: str
    start: float
    end: float
    confidence: float | None = None

    def __post_init__(self):
        if not isinstance(self.text, str) or not self.text or self.text != _single_blanks(self.text):
            raise ValueError(f"word {str(self.text)[:40]!r}, expected a text without blanks around or side by side")
        if len(self.text) > _LONGEST_WORD or not _is_plain(self.text):
            raise ValueError(
                f"word {self.text[:40]!r}, expected at most {_LONGEST_WORD:,} characters without control characters"
            )
        times = (self.start, self.end)
        if not all(map(_is_number, times)) or not 0 <= self.start <= self.end <= LONGEST_S:
            raise ValueError(f"word {self.text[:40]!r} from {self.start} to {self.end} s, expected 0 <= start <= end")
        if self.confidence is not None and not (_is_number(self.confidence) and 0 <= self.confidence <= 1):
            raise ValueError(f"word {self.text[:40]!r} of confidence {self.confidence}, expected 0 to 1")


@dataclass(frozen=True)
class Sentence:
    """Words that belong together; times in seconds, the confidence is the mean of those of its words."""

    text: str
    start: float
    end: float
    confidence: float | None


@dataclass(frozen=True)
class Transcript:
    """
    All that is said in a video.

    Args:
        video: Its name.
        language: Code of what is spoken, such as `en`; None where nothing is known of it.
        words: Starts and ends ascend.
        source: Where they are from: one of [`SOURCES`].
        model: Its name or folder.
        translated: Whether the words are a translation to English.
        settings: What changes the result.
        language_probability: Of the model.
        edited: Whether somebody changed the words in the file since it was written.

    Raises:
        ValueError: words are not in order, or another value is wrong.
    """

    video: str
    language: str | None
    words: tuple[Word, ...]
    source: str
    model: str | None = None
    translated: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    language_probability: float | None = None
    edited: bool = False

    def __post_init__(self):
        if not isinstance(self.video, str) or not is_file_name(self.video):
            raise ValueError(f"video {str(self.video)[:60]!r}, expected the name of a video")
        if self.language is not None and not re.fullmatch(r"[A-Za-z-]{1,20}", str(self.language)):
            raise ValueError(f"language {str(self.language)[:40]!r}, expected a code such as en")
        if self.source not in SOURCES:
            raise ValueError(f"source {str(self.source)[:40]!r}, expected one of {', '.join(SOURCES)}")
        for before, after in pairwise(self.words):
            if after.start < before.start or after.end < before.end:
                raise ValueError(
                    f"word {after.text[:40]!r} from {after.start} to {after.end} s comes after {before.text[:40]!r} "
                    f"from {before.start} to {before.end} s, expected times that ascend"
                )

    @property
    def text(self) -> str:
        return join_words(word.text for word in self.words)


def join_words(texts: Iterable[str]) -> str:
    """Returns words as a text, with blanks between them where their script has some."""
    joined: list[str] = []
    for text in texts:
        if joined and not (_UNSPACED.match(joined[-1][-1]) and _UNSPACED.match(text)):
            joined.append(" ")
        joined.append(text)
    return "".join(joined)


def sentences_of(transcript: Transcript) -> list[Sentence]:
    """
    Returns the sentences of a transcript; each word is in one. They end at full stops, and where nobody speaks for
    1 s; one of over 60 words is cut at its longest pauses.
    """
    return [_sentence(words) for words in _sentence_words(transcript.words)]


def _sentence_words(words: Sequence[Word]) -> list[Sequence[Word]]:
    found: list[Sequence[Word]] = []
    begin = 0
    for number, word in enumerate(words, start=1):
        after = words[number] if number < len(words) else None
        if after is None or after.start - word.end >= PAUSE_S or _ends_sentence(word.text, after.text):
            found += _cut(words[begin:number])
            begin = number
    return found


def _ends_sentence(text: str, after: str) -> bool:
    text = text.rstrip(_CLOSERS)
    if not text or text[-1] not in _ENDS or text.endswith(_HESITATION):
        return False
    stem = text[:-1].lstrip("([{\"'“‘«").casefold()
    if text[-1] != "." or not stem:
        return True
    if stem in _BEFORE_NUMBERS and after[0].isdigit():
        return False
    return stem not in _ABBREVIATIONS and not (_INITIALS.fullmatch(stem) and not _UNSPACED.match(stem))


def _cut(words: Sequence[Word]) -> list[Sequence[Word]]:
    pieces = []
    while len(words) > MOST_WORDS:
        last = min(MOST_WORDS, len(words) - _LEAST_WORDS)
        places = range(_LEAST_WORDS, last + 1)
        pauses = [round(words[place].start - words[place - 1].end, 3) for place in places]
        middle = (_LEAST_WORDS + last) / 2  # of pauses alike the one nearest to it
        _, _, place = max(zip(pauses, (-abs(place - middle) for place in places), places, strict=True))
        pieces.append(words[:place])
        words = words[place:]
    return [*pieces, words]


def _sentence(words: Sequence[Word]) -> Sentence:
    known = [word.confidence for word in words if word.confidence is not None]
    confidence = math.fsum(known) / len(known) if known else None
    return Sentence(join_words(word.text for word in words), words[0].start, words[-1].end, confidence)


def transcripts_dir(data_dir: str | os.PathLike) -> Path:
    """Returns the folder of a corpus that the transcripts lie in, whether it is there or not."""
    return Path(data_dir) / FOLDER / "transcripts"


def transcript_path(data_dir: str | os.PathLike, video: str) -> Path:
    """Returns where the transcript of a video belongs. Raises ValueError where its name cannot be a file's."""
    if not is_file_name(video):
        raise ValueError(f"video name {video[:60]!r} cannot be a file name; correct videos.name in the database")
    return transcripts_dir(data_dir) / f"{video}.json"


def read_transcripts(data_dir: str | os.PathLike) -> dict[str, Transcript]:
    """Returns all transcripts of a corpus by the name of their video, sorted. Raises as [`read_transcript`]."""
    paths = sorted(path for path in transcripts_dir(data_dir).glob("*.json") if not path.name.startswith("."))
    found = {}
    for path in tqdm(paths, desc="reading", unit=" transcript", dynamic_ncols=True, delay=2):
        transcript = read_transcript(path)
        if transcript.video != path.stem:
            raise ValueError(f"{path} is of video {transcript.video!r}, expected {path.stem!r}; {_REMEDY}")
        found[path.stem] = transcript
    return found


def write_transcript(path: str | os.PathLike, transcript: Transcript) -> None:
    """
    Writes a transcript, whole or not at all, with its sentences as segments, and with digests of its words and texts,
    which tell what is edited later. Raises OSError where it cannot.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    sentences = _sentence_words(transcript.words)
    texts = [join_words(word.text for word in words) for words in sentences]
    content = {
        "video": transcript.video,
        "language": transcript.language,
        "language_probability": transcript.language_probability,
        "source": transcript.source,
        "model": transcript.model,
        "translated": transcript.translated,
        "settings": transcript.settings,
        "digest": _digest_of_words(transcript.words),
        "digest_of_texts": digest_of(*texts),
        "segments": [
            {
                "start": words[0].start,
                "end": words[-1].end,
                "text": text,
                "words": [
                    {"word": word.text, "start": word.start, "end": word.end}
                    | ({} if word.confidence is None else {"score": word.confidence})
                    for word in words
                ],
            }
            for words, text in zip(sentences, texts, strict=True)
        ],
    }
    write_text(path, json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n")


def _digest_of_words(words: Iterable[Word]) -> str:
    values = [[word.text, *map(_as_float, (word.start, word.end, word.confidence))] for word in words]
    return digest_of(json.dumps(values))


def _as_float(value: float | None) -> float | None:
    return None if value is None else float(value)  # an editor may write 1.0 as 1


def read_transcript(path: str | os.PathLike) -> Transcript:
    """
    Returns a transcript of ours, of WhisperX or of openai-whisper. Words without times get some between their
    neighbours', segments without words are cut at blanks; what is shared out goes by the number of characters. Of ours
    the words count: their segments' texts may lag behind them, but must not be edited to say something else.

    Args:
        path: A file of JSON. Without our keys it is of the video that it is named after, and from the database.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is no such file, or has values that cannot be; the message names the file.
    """
    path = Path(path)
    if (size := path.stat().st_size) > _LARGEST_FILE:
        raise ValueError(f"transcript {path} has {size:,} bytes, expected at most {_LARGEST_FILE:,}; {_REMEDY}")
    try:
        content = json.loads(read_text(path), object_pairs_hook=each_once, parse_constant=_refuse_constant)
        return _transcript(path, content)
    except (ValueError, RecursionError, OverflowError) as error:
        reason = " ".join(str(error).split()).removeprefix(f"{path}, ")
        raise ValueError(f"transcript {path} cannot be read ({reason}); {_REMEDY}") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name}, expected a finite number")


def _transcript(path: Path, content: Any) -> Transcript:
    if isinstance(content, list):
        content = {"segments": content}
    if not isinstance(content, dict) or not isinstance(segments := content.get("segments"), list):
        raise ValueError("no segments, expected the JSON of WhisperX or openai-whisper")
    ours = content.keys() >= _OURS
    words: list[Word] = []
    for number, segment in enumerate(segments, start=1):
        try:
            words += _words_of_our_segment(segment) if ours else _words_of_segment(segment)
        except ValueError as error:
            raise ValueError(f"segment {number}: {error}") from error
    if ours:
        _check_texts(segments, content.get("digest_of_texts"))
    words = in_order(words)
    model, translated = content.get("model"), content.get("translated", False)
    settings, probability = content.get("settings", {}), content.get("language_probability")
    if not (model is None or isinstance(model, str)) or not isinstance(translated, bool):
        raise ValueError(f"model {str(model)[:40]!r} and translated {str(translated)[:40]!r}, expected text and true")
    if not isinstance(settings, dict) or len(json.dumps(settings)) > _LONGEST_SETTINGS:
        raise ValueError(f"settings {str(settings)[:40]!r}, expected an object")
    if probability is not None and not _is_number(probability):
        raise ValueError(f"language_probability {str(probability)[:40]!r}, expected a number")
    return Transcript(
        content.get("video", path.stem),
        content.get("language"),
        tuple(words),
        content.get("source", "database"),
        model,
        translated,
        settings,
        probability,
        ours and "digest" in content and content["digest"] != _digest_of_words(words),
    )


def _words_of_our_segment(segment: Any) -> list[Word]:
    """Returns the words as they are; none where somebody emptied their list, whatever the text still says."""
    given = segment.get("words") if isinstance(segment, dict) else None
    if given == []:
        return []
    if isinstance(given, list):  # else nobody gave words, or what is said of it is said below
        bare = [word | {"word": word["word"].strip()} if _has_text(word) else word for word in given]
        segment = segment | {"words": bare}  # a blank would tell that words without one go on with others
    return _words_of_segment(segment)


def _has_text(word: Any) -> bool:
    return isinstance(word, dict) and isinstance(word.get("word"), str)


def _check_texts(segments: Sequence[dict], digest: Any) -> None:
    """
    Raises ValueError where somebody edited a text of ours and not the words with it. Texts that are as they were
    written may lag behind words that were edited.
    """
    texts = [segment.get("text") for segment in segments]
    if all(isinstance(text, str) for text in texts) and digest_of(*texts) == digest:
        return
    for number, (segment, text) in enumerate(zip(segments, texts, strict=True), start=1):
        if text is None or segment.get("words") is None:
            continue
        said = join_words(word.text for word in _words_of_our_segment(segment))
        found = _single_blanks(str(text))
        if found != said:
            alike = next((at for at, (a, b) in enumerate(zip(found, said, strict=False)) if a != b), len(said))
            place = max(0, min(alike, len(found)) - 20)
            raise ValueError(
                f"segment {number}: text {found[place : place + 40]!r}, but its words are "
                f"{said[place : place + 40]!r}; edit the words, which count, and the text as them"
            )


def in_order(words: Iterable[Word], most: float = _DISORDER_S) -> list[Word]:
    """
    Returns words whose starts and ends ascend: one that overlaps what is before it begins or ends later.

    Args:
        words: As they came.
        most: By how many seconds one may start before the one before it.

    Raises:
        ValueError: one starts earlier.
    """
    found: list[Word] = []
    start = end = 0.0
    for word in words:
        if word.start < start - most:
            raise ValueError(f"word {word.text[:40]!r} starts at {word.start} s, after one at {start} s")
        start, end = max(word.start, start), max(word.end, end)
        moved = (start, end) != (word.start, word.end)
        found.append(Word(word.text, start, end, word.confidence) if moved else word)
    return found


def _words_of_segment(segment: Any) -> list[Word]:
    if not isinstance(segment, dict):
        raise ValueError(f"{str(segment)[:40]!r}, expected an object with start, end, text")
    given = segment.get("words")
    if given is None or given == []:
        text = segment.get("text")
        if not isinstance(text, str):
            raise ValueError(f"text {str(text)[:40]!r}, expected a text")
        return spread(text, *_span(segment)) if text.strip() else []
    if not isinstance(given, list):
        raise ValueError(f"words {str(given)[:40]!r}, expected a list")
    pieces = [piece for piece in map(_piece, given) if piece[0].strip()]
    if any(piece[1] is None for piece in pieces):
        pieces = _with_times(pieces, segment)
    return words_of_pieces(pieces)


_Piece = tuple[str, float | None, float | None, float | None]


def _piece(word: Any) -> _Piece:
    text = word.get("word", word.get("text")) if isinstance(word, dict) else None
    if not isinstance(text, str):
        raise ValueError(f"word {str(word)[:40]!r}, expected an object with word, start, end")
    start, end = word.get("start"), word.get("end")
    confidence = word.get("score", word.get("probability"))
    for name, value in (("start", start), ("end", end), ("confidence", confidence)):
        if value is not None and not _is_number(value):
            raise ValueError(f"word {text[:40]!r}: {name} {str(value)[:40]!r}, expected a number")
    if start is None or end is None:
        start = end = None
    return text, start, end, confidence


def _span(segment: dict) -> tuple[float, float]:
    start, end = segment.get("start"), segment.get("end")
    if not _is_number(start) or not _is_number(end) or not 0 <= start <= end <= LONGEST_S:
        raise ValueError(f"from {str(start)[:40]} to {str(end)[:40]}, expected seconds, 0 <= start <= end")
    return float(start), float(end)


def _with_times(pieces: list[_Piece], segment: dict) -> list[_Piece]:
    """Gives words that have no times those between their neighbours."""
    found: list[_Piece] = []
    number = 0
    while number < len(pieces):
        if pieces[number][1] is not None:
            found.append(pieces[number])
            number += 1
            continue
        last = number
        while last < len(pieces) and pieces[last][1] is None:
            last += 1
        start = found[-1][2] if found else _span(segment)[0]
        end = pieces[last][1] if last < len(pieces) else _span(segment)[1]
        assert start is not None and end is not None
        bounds = _shares([piece[0] for piece in pieces[number:last]], start, max(start, end))
        found += [(pieces[number + index][0], *bound, None) for index, bound in enumerate(bounds)]
        number = last
    return found


def _shares(texts: Sequence[str], start: float, end: float) -> list[tuple[float, float]]:
    """Returns the spans of texts that follow one another between two times, by their numbers of characters."""
    total, done, bounds = sum(map(len, texts)), 0, []
    for text in texts:
        bounds.append((start + (end - start) * done / total, start + (end - start) * (done + len(text)) / total))
        done += len(text)
    return bounds


def spread(text: str, start: float, end: float) -> list[Word]:
    """
    Returns the words of a text that is said between two times, in seconds; each takes its share of the characters.

    Raises:
        ValueError: the text has control characters, or the times are none.
    """
    texts = [piece for token in _cleaned(text).split() for piece in _unjoined(token)]
    spans = _shares(texts, start, end)
    return [Word(text, first, min(last, end)) for text, (first, last) in zip(texts, spans, strict=True)]


def _unjoined(token: str) -> list[str]:
    """Cuts Han and kana into letters, their punctuation at the letter before it."""
    pieces: list[str] = []
    for piece in _PIECES.findall(token):
        if pieces and not any(character.isalnum() for character in piece):
            pieces[-1] += piece
        else:
            pieces.append(piece)
    return [part for piece in pieces for part in _of_length(piece)]


def _of_length(text: str) -> list[str]:
    return [text[place : place + _LONGEST_WORD] for place in range(0, len(text), _LONGEST_WORD)]


def words_of_pieces(pieces: Iterable[_Piece]) -> list[Word]:
    """
    Returns the words that models give as pieces of text. Where some begin with a blank, one that does not goes on with
    the word before it, such as "-up" after " clip", but in scripts without blanks.

    Args:
        pieces: Text, start, end, confidence.

    Raises:
        ValueError: they cannot be words.
    """
    kept = [(_cleaned(text), *others) for text, *others in pieces]
    marked = any(text[:1].isspace() for text, *_ in kept)
    found: list[Word] = []
    for text, start, end, confidence in kept:
        bare = _single_blanks(text)
        if not bare:
            continue
        word = Word(bare, start, end, confidence)
        goes_on = marked and found and not text[:1].isspace()
        if goes_on and not (_UNSPACED.match(bare) or _UNSPACED.match(found[-1].text[-1])):
            before = found.pop()
            known = [value for value in (before.confidence, confidence) if value is not None]
            word = Word(before.text + bare, before.start, max(before.end, word.end), min(known) if known else None)
        found.append(word)
    return found


def _cleaned(text: str) -> str:
    """Returns a text without invisible marks. Raises ValueError where it has control characters but blanks."""
    text = "".join(character for character in text if unicodedata.category(character) != "Cf" or character in _JOINERS)
    for token in text.split():
        if not _is_plain(token):
            raise ValueError(f"text {token[:40]!r}, expected one without control characters")
    return text


def _single_blanks(text: str) -> str:
    return " ".join(text.split())


def _is_plain(text: str) -> bool:
    return text.isprintable() or all(
        character in _JOINERS or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn")
        for character in text
    )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
