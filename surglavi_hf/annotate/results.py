# SPDX-License-Identifier: Apache-2.0
"""What the stages found, told anew from transcripts and ledger each time: no other state could be old."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from tqdm.auto import tqdm

from ..data import Level
from .asking import Talk, Unfinished, replay
from .captions import Asked, Told, Verdict, judge_segments, write_captions
from .corpus import AnnotatedCorpus, StageSettings
from .grounding import ungrounded
from .questions import Unusable
from .segment import SegmentedVideo, segment_seconds, segment_text, segment_video
from .transcripts import Sentence, Transcript, join_words

EPSILON_S = 1e-3  # a clip that is shorter has no time
_SENTENCES_BEFORE = 20


@dataclass
class AnnotatedClip:
    """
    A segment, and what is known of it.

    Args:
        number: Its place in the video, from 1.
        level: Of it.
        title: That the model gave it.
        first, last: Numbers of its sentences, from 1.
        start, end: In seconds.
        text: What was said in it.
        confidence: Of the speech recognition, the mean over its sentences; None where it is not known.
        verdict: Of the filter on the text, None where there is none, and `unjudged` says why.
        view: How endoscopic and how surgical the clip looks, from 0 to 1, and why not; None where nobody looked.
        seen: Whether it looks so enough.
        caption: None where there is none, and `uncaptioned` says why.
        ungrounded: Names in the caption that were not said.
    """

    number: int
    level: Level
    title: str
    first: int
    last: int
    start: float
    end: float
    text: str
    confidence: float | None
    verdict: Verdict | None = None
    unjudged: Unusable | None = None
    view: tuple[float | None, float | None, str] | None = None
    seen: bool | None = None
    caption: str | None = None
    uncaptioned: Unusable | None = None
    ungrounded: list[str] = field(default_factory=list)

    @property
    def is_descriptive(self) -> bool | None:
        return None if self.verdict is None else self.verdict.descriptive

    @property
    def is_surgical(self) -> bool | None:
        """By its text, and by its picture where somebody looked."""
        if self.verdict is None:
            return False if self.seen is False else None
        return self.verdict.surgical and self.seen is not False

    @property
    def is_kept(self) -> bool:
        """Whether both flags are 1."""
        return self.is_descriptive is True and self.is_surgical is True


@dataclass
class AnnotatedVideo:
    """
    Args:
        name: Of the video.
        row: Of the table of videos.
        transcript: None where there is none yet.
        sentences: Of it.
        segmented: None where it was never asked for.
        clips: In order.
        timeless: Segments that have no time within their video: start and end in seconds, what was said.
        unfinished: Questions of a stage that have no answer yet, by stage.
    """

    name: str
    row: Mapping[str, Any]
    transcript: Transcript | None
    sentences: Sequence[Sentence]
    segmented: SegmentedVideo | None = None
    clips: list[AnnotatedClip] = field(default_factory=list)
    timeless: list[tuple[float, float, str]] = field(default_factory=list)
    unfinished: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ViewSettings:
    """
    What a model looks for, and how much of it a clip must have.

    Args:
        model: Its identity.
        model_name: For people.
        endoscopic, surgical: Least shares, from 0 to 1.
    """

    model: str
    model_name: str
    endoscopic: float
    surgical: float


class Results:
    """
    What was found of a corpus.

    Args:
        corpus: Of it.
        settings: Of each stage, by default as each was run last.
    """

    def __init__(self, corpus: AnnotatedCorpus, settings: Mapping[str, StageSettings | None] | None = None):
        self.corpus = corpus
        self.settings = {stage: corpus.settings(stage) for stage in ("segment", "filter", "enrich")}
        self.settings |= settings or {}
        view = corpus.ledger.settings("view")
        self.view = ViewSettings(**view) if view is not None else None

    def videos(self, until: str = "enrich") -> Iterator[AnnotatedVideo]:
        """
        Yields the videos of the corpus in its order, each with what was found. Shows a progress bar.

        Args:
            until: The last stage that is wanted: "transcribe", "segment", "filter" or "enrich".
        """
        for row in tqdm(self.corpus.rows, desc="looking up", unit=" video", dynamic_ncols=True, delay=2):
            yield self.video(row, until)

    def video(self, row: Mapping[str, Any], until: str = "enrich") -> AnnotatedVideo:
        """Returns what was found of a video, as [`Results.videos`]."""
        name = row["name"]
        sentences = self.corpus.sentences.get(name, [])
        found = AnnotatedVideo(name, row, self.corpus.transcripts.get(name), sentences)
        if until == "transcribe" or self.settings["segment"] is None or not sentences:
            return found
        segmented = self._replay(self.segment_talk(found), "segment")
        if isinstance(segmented, Unfinished):
            found.unfinished["segment"] = 1
            return found
        found.segmented = segmented
        self._add_clips(found, segmented)
        if until == "segment":
            return found
        self._look(found)
        if self.settings["filter"] is not None:
            self._judge(found)
        if until == "enrich" and self.settings["enrich"] is not None:
            self._enrich(found)
        return found

    def _replay(self, talk: Talk, stage: str) -> Any:
        return replay(talk, self.corpus.ledger, self.settings[stage].model)

    def segment_talk(self, video: AnnotatedVideo) -> Talk[SegmentedVideo]:
        """Returns the conversation that cuts a video."""
        stage = self.settings["segment"]
        sentences = [replace(one, text=stage.sent(one.text)) for one in video.sentences]
        about = self._about(video, stage)
        return Talk(video.name, partial(segment_video, video.name, about, sentences, stage.prompt, stage.size))

    def filter_talks(self, video: AnnotatedVideo) -> list[Talk[Told]]:
        """Returns the conversations that judge the clips of a video."""
        stage = self.settings["filter"]
        about = self._about(video, stage)
        groups = [[_asked(one, stage) for one in group] for group in _groups(video.clips, stage.size)]
        return [Talk(video.name, partial(judge_segments, video.name, about, asked, stage.prompt)) for asked in groups]

    def enrich_talks(self, video: AnnotatedVideo) -> list[Talk[Told]]:
        """Returns the conversations that write captions of the clips of a video which the filter keeps."""
        stage = self.settings["enrich"]
        about = self._about(video, stage)
        talks = []
        for group in _groups(video.clips, stage.size):
            kept = [one for one in group if one.is_kept]
            if kept:
                said = stage.sent(join_words(said_before(video, kept[0])))
                asked = [_asked(one, stage) for one in kept]
                talks.append(Talk(video.name, partial(write_captions, video.name, about, said, asked, stage.prompt)))
        return talks

    def _about(self, video: AnnotatedVideo, stage: StageSettings) -> dict[str, str | None]:
        about = self.corpus.about[video.name]
        return {name: text and stage.sent(text) for name, text in about.items()}

    def _add_clips(self, found: AnnotatedVideo, segmented: SegmentedVideo) -> None:
        duration = found.row["duration"]
        for number, segment in enumerate(segmented.segments, start=1):
            start, last = segment_seconds(segment, found.sentences)
            end = min(last, duration) if duration else last
            if end - start < EPSILON_S:
                found.timeless.append((start, last, segment_text(segment, found.sentences)))
                continue
            confidences = [one.confidence for one in found.sentences[segment.first - 1 : segment.last]]
            known = [one for one in confidences if one is not None]
            found.clips.append(
                AnnotatedClip(
                    *(number, segment.level, segment.title, segment.first, segment.last, round(start, 3)),
                    *(round(end, 3), segment_text(segment, found.sentences)),
                    sum(known) / len(known) if known else None,
                )
            )

    def _look(self, found: AnnotatedVideo) -> None:
        if self.view is None:
            return
        for clip in found.clips:
            clip.view = self.corpus.ledger.view(self.view.model, found.name, clip.start, clip.end)
            if clip.view is not None and clip.view[0] is not None and clip.view[1] is not None:
                clip.seen = clip.view[0] >= self.view.endoscopic and clip.view[1] >= self.view.surgical

    def _judge(self, found: AnnotatedVideo) -> None:
        clips = {clip.number: clip for clip in found.clips}
        for talk in self.filter_talks(found):
            told = self._replay(talk, "filter")
            if isinstance(told, Unfinished):
                found.unfinished["filter"] = found.unfinished.get("filter", 0) + 1
                continue
            for number, verdict in told.verdicts.items():
                clips[number].verdict = verdict
            for number, reason in told.lost.items():
                clips[number].unjudged = reason

    def _enrich(self, found: AnnotatedVideo) -> None:
        clips = {clip.number: clip for clip in found.clips}
        about = self.corpus.about[found.name]
        given = [text for text in about.values() if text]
        for talk in self.enrich_talks(found):
            told = self._replay(talk, "enrich")
            if isinstance(told, Unfinished):
                found.unfinished["enrich"] = found.unfinished.get("enrich", 0) + 1
                continue
            for number, caption in told.captions.items():
                clip = clips[number]
                clip.caption = caption
                own = [one.text for one in found.sentences[clip.first - 1 : clip.last]]
                clip.ungrounded = ungrounded(caption, [*given, *said_before(found, clip), *own])
            for number, reason in told.lost.items():
                clips[number].uncaptioned = reason


def _asked(clip: AnnotatedClip, stage: StageSettings) -> Asked:
    return Asked(clip.number, clip.level.name.lower(), stage.sent(clip.title), stage.sent(clip.text))


def said_before(video: AnnotatedVideo, clip: AnnotatedClip) -> list[str]:
    """Returns the sentences that were said just before a clip."""
    return [one.text for one in video.sentences[max(0, clip.first - 1 - _SENTENCES_BEFORE) : clip.first - 1]]


def _groups(clips: Sequence[AnnotatedClip], size: int) -> list[list[AnnotatedClip]]:
    """Clips by their numbers: where one goes, the groups of the others stay."""
    found: dict[int, list[AnnotatedClip]] = {}
    for clip in clips:
        found.setdefault((clip.number - 1) // size, []).append(clip)
    return list(found.values())
