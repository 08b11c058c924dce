# SPDX-License-Identifier: Apache-2.0
"""The first stage: a transcript for each video of a corpus."""

import logging
import os
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from ..data.acquire import DatabaseVideos, read_database_videos
from ..data.caption_files import SUBTITLES
from ..data.database import open_database, read_transcriptions, read_videos
from ..files import digest
from ..media import is_file_name
from ..media.audio import SPEECH_RATE, NoSoundError, read_audio
from ..options import option
from .speech import Device, Engine, Heard, SpeechModel, check_language, speech_model
from .subtitles import find_subtitles, read_subtitles, unused_subtitles
from .transcripts import EXPORTED, Transcript, read_transcript, transcript_path, write_transcript

logger = logging.getLogger(__name__)

_PAST_END_S = 2.0  # by how much the last word may end after the video, whose duration is not exact
_NOTED = ("versions", "sound")  # of settings; they make no transcript another


@dataclass(frozen=True)
class TranscribeOptions:
    """
    How videos come to transcripts.

    Raises:
        FileNotFoundError: there is no such folder of subtitles.
        ValueError: the language is none of those that Whisper knows.
    """

    engine: Engine = option("faster-whisper", "Library that runs the speech model.")
    speech_model: str | None = option(
        None,
        "Its name or folder (default: large-v3-turbo; openai/whisper-large-v3-turbo for transformers).",
        metavar="NAME",
    )
    language: str | None = option(
        None, "Code of the language that is spoken, such as en (default: it is found out).", metavar="CODE"
    )
    translate: bool = option(False, "Translate what is heard to English.")
    device: Device = option("auto", "Where the speech model runs.")
    subtitles: str | None = option(
        None,
        "Folder of SRT or VTT files that are named as the videos; those beside a video are always taken.",
        metavar="DIR",
    )

    def __post_init__(self):
        if self.subtitles is not None and not Path(self.subtitles).expanduser().is_dir():
            raise FileNotFoundError(f"no folder of subtitles at {self.subtitles}")
        if self.language is not None:
            check_language(self.language)


@dataclass
class Transcribed:
    """
    The outcome of [`transcribe`]; all but the last seven are numbers of videos.

    Args:
        done: Of those that a speech model heard.
        kept: That have been transcribed before, in the same way.
        edited: Whose transcript somebody edited; it is kept, in whatever way it was made.
        from_subtitles, from_database: That others had transcribed.
        without_times: Whose transcription in the database cannot be used: it has no times, or cannot be read.
        without_sound, without_speech: That now have a transcript of no words.
        missing: That are not on disk.
        num_videos: Of all that were asked for.
        languages: Of the transcripts.
        words: Their number, of all transcripts.
        seconds: That the speech model listened to.
        removed: Signs of sounds, music and speakers that were left out of subtitles.
        past_end: When the last word ends, in seconds, of videos that end over 2 s earlier, by the database.
        unused_subtitles: Files in the folder of subtitles that are of no video of the database, sorted.
        failed: Why a video has no transcript that can be used.
    """

    done: int = 0
    kept: int = 0
    edited: int = 0
    from_subtitles: int = 0
    from_database: int = 0
    without_times: int = 0
    without_sound: int = 0
    without_speech: int = 0
    missing: int = 0
    num_videos: int = 0
    languages: Counter = field(default_factory=Counter)
    words: int = 0
    seconds: float = 0.0
    removed: int = 0
    past_end: dict[str, float] = field(default_factory=dict)
    unused_subtitles: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def exit_status(self) -> int:
        """1 where a video failed."""
        return 1 if self.failed else 0


def transcribe(
    data_dir: str | os.PathLike, options: TranscribeOptions | None = None, limit: int | None = None
) -> Transcribed:
    """
    Writes a transcript for each video of a database, into `annotate/transcripts/` beside it: from subtitles beside the
    video, beside the file that it is a link to, or in the folder given, else from the transcription that the database
    has, else by a speech model, which is loaded when the first video needs it. What is there from the same source with
    the same settings is kept, so a run that was stopped goes on; and what somebody edited, always. A transcript or a
    video that cannot be read is counted, and the others go on. Shows a progress bar.

    Args:
        data_dir: Folder of the database.
        options: How.
        limit: Only the first videos of the database, as many as this.

    Raises:
        BlockingIOError: another process annotates this corpus.
        FileNotFoundError, OSError: the database cannot be read, or a transcript not written.
        ImportError: a library is not installed.
        ValueError: the database cannot be read, or the speech model not loaded or not asked for that language.
    """
    videos = read_database_videos(data_dir)
    names = list(dict.fromkeys(source.name for source in videos.sources))[:limit]
    with videos.library.lock("annotate"):
        run = _Run(videos, options or TranscribeOptions())
        for name in tqdm(names, desc="transcribing", unit=" video", dynamic_ncols=True, delay=2):
            run.take(name)
        run.outcome.num_videos = len(names)
        return run.outcome


class _Run:
    def __init__(self, videos: DatabaseVideos, options: TranscribeOptions):
        self.outcome = Transcribed()
        self._library, self._options = videos.library, options
        self._durations = {source.name: source.duration for source in videos.sources}
        self._folder = None if options.subtitles is None else Path(options.subtitles).expanduser()
        if self._folder is not None:
            self.outcome.unused_subtitles = unused_subtitles(self._folder, self._durations)
        self._in_database = _transcriptions(videos)
        self._there: Transcript | None = None  # of the video at hand
        self._model: SpeechModel | None = None  # made when a video needs it: of subtitles nobody needs one

    def take(self, name: str) -> None:
        """Makes the transcript of a video, or says why there is none."""
        try:
            if not is_file_name(name):
                raise ValueError(
                    f"video name {name[:60]!r} cannot be a file name; correct videos.name in the database"
                )
            path = transcript_path(self._library.root, name)
            self._there = read_transcript(path) if path.is_file() else None  # it may hold somebody's work
            transcript = self._edited(name) or self._from_subtitles(name) or self._from_database(name)
        except (OSError, ValueError) as error:
            self.outcome.failed[name] = _words(error)
            return
        transcript = transcript or self._by_model(name)
        if transcript is not None:
            self.outcome.words += len(transcript.words)
            self.outcome.languages[transcript.language or "unknown"] += 1
            duration = self._durations[name]
            if duration and transcript.words and transcript.words[-1].end > duration + _PAST_END_S:
                self.outcome.past_end[name] = transcript.words[-1].end

    def _edited(self, name: str) -> Transcript | None:
        found = self._there
        if found is None or not found.edited:
            return None
        if found.video != name:
            raise ValueError(
                f"the transcript of {name!r} was edited, but is of video {found.video!r}; mend or delete it"
            )
        self.outcome.edited += 1
        return found

    def _kept(self, name: str, source: str, settings: dict[str, Any]) -> Transcript | None:
        """Returns the transcript of a video that is there already, if it was made in this way."""
        found = self._there
        if found is None:
            return None
        same = {key: value for key, value in found.settings.items() if key not in _NOTED} == settings
        if not same or (found.video, found.source) != (name, source):
            return None
        self.outcome.kept += 1
        return found

    def _find_subtitles(self, name: str) -> Path | None:
        video, language = self._library.video_path(name), self._options.language
        found = find_subtitles(video.parent, language=language)
        if found is None and video.is_symlink():
            linked = Path(os.path.realpath(video))  # to a folder of somebody's own, with files of other videos
            found = find_subtitles(linked.parent, linked.stem, language, self._durations)
        if found is None and self._folder is not None:
            found = find_subtitles(self._folder, name, language, self._durations)
        return found

    def _from_subtitles(self, name: str) -> Transcript | None:
        path = self._find_subtitles(name)
        if path is None:
            return None
        settings = {"subtitles": path.name, "digest": digest(path)}
        if kept := self._kept(name, "subtitles", settings):
            return kept
        found = read_subtitles(path, name)
        transcript = replace(found.transcript, settings=settings)
        self._write(transcript)
        self.outcome.from_subtitles += 1
        self.outcome.removed += found.num_removed
        return transcript

    def _from_database(self, name: str) -> Transcript | None:
        found = self._in_database.get(name)
        if found is None:
            return None
        for path in found:
            settings = {"transcription": path.name, "digest": digest(path)}
            if kept := self._kept(name, "database", settings):
                return kept
            if path.name.endswith(EXPORTED) and self._there is not None:
                return None  # what an export wrote is a copy of ours, perhaps of an earlier one
            try:
                if path.suffix.lower() in SUBTITLES:
                    read = read_subtitles(path, name).transcript
                else:
                    read = read_transcript(path)
            except ValueError as error:
                logger.warning("%s; transcribing video %s instead", error, name)
                continue
            if read.words:
                transcript = replace(read, video=name, source="database", model=None, settings=settings)
                self._write(transcript)
                self.outcome.from_database += 1
                return transcript
        self.outcome.without_times += 1
        return None

    def _by_model(self, name: str) -> Transcript | None:
        options, path = self._options, self._library.video_path(name)
        if self._model is None:
            self._model = speech_model(options.engine, options.speech_model, options.device)
        model = self._model
        settings = model.settings | {"language": options.language, "translate": options.translate}
        if kept := self._kept(name, model.source, settings):
            return kept
        if not path.is_file():
            self.outcome.missing += 1
            return None
        noted: dict[str, Any] = {"versions": model.versions()}
        try:
            audio = read_audio(path)
        except NoSoundError:
            noted["sound"], heard = False, Heard()
            self.outcome.without_sound += 1
        except (OSError, RuntimeError, MemoryError) as error:
            self.outcome.failed[name] = _words(error)
            return None
        else:
            model.load(options.language, options.translate)  # whose errors concern all videos
            try:
                heard = model.hear(audio, options.language, options.translate)
            except (ValueError, RuntimeError, MemoryError) as error:
                self.outcome.failed[name] = f"its sound cannot be transcribed ({_words(error)})"
                return None
            self.outcome.done += 1
            self.outcome.without_speech += not heard.words
            self.outcome.seconds += len(audio) / SPEECH_RATE
        transcript = Transcript(
            video=name,
            language=heard.language,
            words=heard.words,
            source=model.source,
            model=model.model,
            translated=options.translate and bool(heard.words),
            settings=settings | noted,
            language_probability=heard.language_probability,
        )
        self._write(transcript)
        return transcript

    def _write(self, transcript: Transcript) -> None:
        write_transcript(transcript_path(self._library.root, transcript.video), transcript)


def _transcriptions(videos: DatabaseVideos) -> dict[str, list[Path]]:
    """Returns the files of transcriptions that are there, by the name of their video; none where it is text alone."""
    with open_database(videos.database) as connection:
        rows, of_videos = read_transcriptions(connection), read_videos(connection)
    names = dict(zip(of_videos["video_id"].to_pylist(), of_videos["name"].to_pylist(), strict=True))
    found: dict[str, list[Path]] = {}
    for row in rows.to_pylist():
        name = names.get(row["video_id"])
        if not name:
            continue
        paths = found.setdefault(name, [])
        path = videos.library.transcription_path(row["file_path"]) if row["file_path"] else None
        if path is not None and path.is_file():
            paths.append(path)
    return found


def _words(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
