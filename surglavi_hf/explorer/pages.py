# SPDX-License-Identifier: Apache-2.0
"""What each page shows, as plain values: rows of captions and videos, one video whole, results of a search."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import Level, check_database
from ..data.reviews import Review
from ..media import VideoDecodeError, browser_problem, write_playable_copy
from ..media.identity import YOUTUBE_ID
from ..media.library import content_identity
from ..media.pictures import read_pictures
from .answers import Answers
from .corpus import ADDED, APPROVED, CHANGED, DELETED, FLAGGED, Corpus
from .facets import Facets
from .jobs import Job, Jobs
from .meanings import Meanings
from .words import WordIndex

if TYPE_CHECKING:
    from .reports import Reports  # which needs PyTorch

_STATES = {FLAGGED: "flagged", CHANGED: "changed", APPROVED: "approved", ADDED: "added", DELETED: "deleted"}
_MOST_ROWS, _MOST_FOUND = 500, 60
_NOT_THERE = {
    "not tried": "it is not downloaded yet; surglavi download gets it",
    "not here": "this corpus comes without videos",
    "no longer there": "it was downloaded once, and is not there any more",
}


@dataclass
class Explorer:
    """
    All that pages are made of.

    Args:
        corpus: None where there is a benchmark alone.
        words, facets: Of the corpus.
        answers, meanings, reports: What is known of models.
        cache: Folder for what is computed.
        copying: Makes copies of videos, beside a model that watches others.
        can_review: Whether reviews are taken.
        public: Whether it is open to everybody, who may start no work.
    """

    corpus: Corpus | None
    words: WordIndex | None
    facets: Facets | None
    answers: Answers | None
    meanings: Meanings | None
    reports: "Reports | None"
    cache: Path | None
    copying: Jobs = field(default_factory=Jobs)
    can_review: bool = False
    public: bool = False
    _checking: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _left_out: dict[str, int] | None = field(default=None, repr=False)

    def close(self) -> None:
        """Ends what is at work."""
        self.copying.close()
        if self.answers is not None:
            self.answers.jobs.close()

    def about(self) -> dict[str, Any]:
        """Returns what all pages know."""
        model = self.answers.model if self.answers else None
        return {
            "title": self.corpus.title if self.corpus is not None else self.reports.title,
            "corpus": self.corpus is not None,
            "benchmark": self.reports.title if self.reports else None,
            "can_review": self.can_review,
            "public": self.public,
            "model": model.name if model else None,
            "can_embed_text": bool(model and model.encoder),
            "index": None if self.meanings is None else {"clips": len(self.meanings), "source": self.meanings.source},
            "levels": [level.name.lower() for level in reversed(Level)],
        }

    def left_out(self) -> dict[str, int]:
        """Returns how many captions of the database are not shown, since they cannot be used, by reason."""
        if self.corpus.database is None:
            return {}
        with self._checking:
            if self._left_out is None:
                self._left_out = check_database(self.corpus.database).left_out
        return self._left_out

    # Lists

    def captions(self, query: Mapping[str, Sequence[str]], offset: int, limit: int) -> dict[str, Any]:
        with self.corpus.lock:
            rows = self.facets.captions(query)
            shown = rows[offset : offset + min(limit, _MOST_ROWS)]
            return {"total": len(rows), "offset": offset, "rows": [self.caption(row) for row in shown.tolist()]}

    def videos(self, query: Mapping[str, Sequence[str]], offset: int, limit: int) -> dict[str, Any]:
        places, counts = self.facets.videos(query)
        shown = places[offset : offset + min(limit, _MOST_ROWS)].tolist()
        rows = [self.video_row(place) | {"captions": int(counts[place])} for place in shown]
        return {"total": len(places), "offset": offset, "rows": rows}

    def caption(self, row: int) -> dict[str, Any]:
        corpus = self.corpus
        place, state = int(corpus.video[row]), int(corpus.state[row])
        fields = corpus.fields(row)
        text = fields["caption"] if fields["caption"] is not None else fields["raw_narration"] or ""
        reviews = corpus.reviews_of.get(int(corpus.caption_id[row]), ())
        return {
            "caption_id": int(corpus.caption_id[row]),
            "video_id": int(corpus.videos.ids[place]),
            "title": corpus.videos.titles[place],
            "level": Level(fields["level"]).name.lower(),
            "start": fields["start_time"],
            "end": fields["end_time"],
            "text": text,
            "caption": fields["caption"],
            "narration": fields["raw_narration"],
            "surgical": fields["is_surgical_content"],
            "descriptive": fields["is_descriptive"],
            "state": [name for bit, name in _STATES.items() if state & bit],
            "taken_down": bool(corpus.taken_down[row]),
            "pictures": str(corpus.disk()[place]) in ("video", "frames") and not corpus.video_taken_down[place],
            "follows": reviews[-1].id if reviews else None,
        }

    def video_row(self, place: int) -> dict[str, Any]:
        videos = self.corpus.videos
        duration = float(videos.durations[place])
        youtube_id = videos.youtube_ids[place]
        known = youtube_id is not None and YOUTUBE_ID.fullmatch(youtube_id)
        fps = float(videos.fps[place])
        return {
            "video_id": int(videos.ids[place]),
            "name": videos.names[place],
            "title": videos.titles[place],
            "youtube": f"https://youtu.be/{youtube_id}" if known else None,
            "duration": None if np.isnan(duration) else duration,
            "fps": fps if 1 <= fps <= 1000 else None,
            "disk": str(self.corpus.disk()[place]),
            "taken_down": bool(self.corpus.video_taken_down[place]),
            **{name: values[place] for name, values in videos.about.items()},
        }

    # Search

    def search(self, query: Mapping[str, Sequence[str]], text: str, like: int | None) -> dict[str, Any]:
        """
        Returns the clips found by words and by meaning, side by side.

        Args:
            query: Other choices.
            text: What is looked for.
            like: A caption whose clip is looked for, instead.

        Raises:
            ValueError: there are no words, or a value of the query is none.
        """
        with self.corpus.lock:
            return self._search(query, text, like)

    def _search(self, query: Mapping[str, Sequence[str]], text: str, like: int | None) -> dict[str, Any]:
        rest = {name: values for name, values in query.items() if name not in ("q", "sort")}
        chosen = self.facets.captions(rest)
        found: dict[str, Any] = {"words": None, "meaning": None}
        if like is None:
            ranked = self.words.find(text)
            mask = np.zeros(len(self.corpus), bool)
            mask[chosen] = True
            rows = ranked.rows[mask[ranked.rows]]
            note = "" if ranked.ranked else "too many to rank: in the order of the corpus"
            found["words"] = {
                "total": len(rows),
                "note": note,
                "rows": [self.caption(row) for row in rows[:_MOST_FOUND].tolist()],
            }
        found["meaning"] = self._by_meaning(chosen, text, like)
        return found

    def _by_meaning(self, chosen: np.ndarray, text: str, like: int | None) -> dict[str, Any]:
        if self.meanings is None:
            remedy = "" if self.public else ": start with --index (surglavi search and surglavi embed make one)"
            return {"rows": [], "note": f"no embeddings here{remedy}"}
        model = self.answers.model if self.answers else None
        try:
            if like is not None:
                query = self.meanings.query_of_clip(self._row(like))
            else:
                query = self.meanings.query_of_text(text, model)
        except ValueError as error:
            return {"rows": [], "note": str(error)}
        # All at once: one product with a matrix is faster than with its rows one by one.
        scores = self.meanings.scores(query)
        of_chosen = np.where(np.isnan(scores[chosen]), -np.inf, scores[chosen])
        best = (
            np.argpartition(-of_chosen, min(4 * _MOST_FOUND, len(of_chosen) - 1))[: 4 * _MOST_FOUND]
            if len(of_chosen)
            else []
        )
        rows, seen = [], set()
        for at in sorted(best, key=lambda at: -of_chosen[at]):
            row = int(chosen[at])
            clip = (int(self.corpus.video[row]), float(self.corpus.start[row]), float(self.corpus.end[row]))
            if np.isinf(of_chosen[at]) or clip in seen or len(rows) == _MOST_FOUND:
                continue
            seen.add(clip)
            rows.append(self.caption(row) | {"score": round(float(of_chosen[at]), 4)})
        return {"rows": rows, "note": query.how}

    # One video

    def place_of(self, video_id: int) -> int:
        """Returns the place of a video. Raises FileNotFoundError where there is none."""
        place = self.corpus.place_of_video.get(video_id)
        if place is None:
            raise FileNotFoundError(f"there is no video {video_id} in {self.corpus.title}")
        return place

    def _row(self, caption_id: int) -> int:
        row = self.corpus.row_of.get(caption_id)
        if row is None:
            raise FileNotFoundError(f"there is no caption {caption_id} in {self.corpus.title}")
        return row

    def video(self, video_id: int) -> dict[str, Any]:
        corpus, place = self.corpus, self.place_of(video_id)
        with corpus.lock:
            captions = [self.caption(row) for row in corpus.rows_of_video(place).tolist()]
        return {
            "video": self.video_row(place),
            "captions": captions,
            "transcript": corpus.transcription(place),
            "media": self.media(video_id),
            "answers": self.answers.state(place) if self.answers else None,
            "version": corpus.version,
        }

    def media(self, video_id: int) -> dict[str, Any]:
        """Returns how a video is shown: `kind` is "video", "copy", "to copy", "frames" or "none"; and why."""
        place = self.place_of(video_id)
        name, disk = self.corpus.videos.names[place], str(self.corpus.disk()[place])
        if self.corpus.video_taken_down[place]:
            return {"kind": "none", "why": "taken down"}
        if disk == "frames":
            return {"kind": "frames", "why": "the video itself is not on disk; these are its stored frames"}
        if disk != "video":
            return {"kind": "none", "why": _NOT_THERE.get(disk, f"it could not be downloaded ({disk})")}
        path = self.corpus.library.video_path(name)
        try:
            problem = browser_problem(path)
        except (OSError, VideoDecodeError) as error:
            return {"kind": "none", "why": str(error).replace(str(path), path.name)}
        if problem is None:
            return {"kind": "video", "why": None}
        if self._copy_path(path).is_file():
            return {"kind": "copy", "why": f"{problem}; this is a small copy of it"}
        job = self.copying.get(video_id)
        return {"kind": "to copy", "why": problem, "job": job.as_json() if job else None}

    def media_path(self, video_id: int) -> Path:
        """Returns the file that a browser plays. Raises FileNotFoundError where there is none."""
        found = self.media(video_id)
        if found["kind"] not in ("video", "copy"):
            raise FileNotFoundError(f"there is nothing to play of video {video_id}: {found['why']}")
        path = self._video_path(video_id)
        return path if found["kind"] == "video" else self._copy_path(path)

    def _video_path(self, video_id: int) -> Path:
        return self.corpus.library.video_path(self.corpus.videos.names[self.place_of(video_id)])

    def _copy_path(self, path: Path) -> Path:
        return self.cache / "copies" / f"{content_identity(path)['digest']}.mp4"

    def make_copy(self, video_id: int) -> Job:
        """Starts to make a copy that browsers play."""
        found = self.media(video_id)
        if found["kind"] != "to copy":
            raise ValueError(f"there is nothing to copy of video {video_id}: {found['why'] or 'it plays as it is'}")
        path = self._video_path(video_id)
        target = self._copy_path(path)

        def do(job: Job) -> None:
            target.parent.mkdir(parents=True, exist_ok=True)

            def report(share: float) -> None:
                job.share = share

            write_playable_copy(path, target, report, job.stopped)
            job.share = 1.0

        return self.copying.start(video_id, do)

    def frame(self, video_id: int, seconds: float, height: int) -> bytes:
        """Returns a frame as JPEG. Raises FileNotFoundError or VideoDecodeError where there is none."""
        return self._pictures(self.place_of(video_id), [seconds], height)[0]

    def strip(self, caption_id: int, num_frames: int, height: int) -> list[bytes]:
        """Returns frames of a caption's clip, the centres of equal parts of it, as JPEG. Raises as `frame`."""
        row = self._row(caption_id)
        start, end = float(self.corpus.start[row]), float(self.corpus.end[row])
        part = (end - start) / num_frames
        times = [start + (number + 0.5) * part for number in range(num_frames)]
        return self._pictures(int(self.corpus.video[row]), times, height)

    def _pictures(self, place: int, times: Sequence[float], height: int) -> list[bytes]:
        corpus = self.corpus
        if corpus.video_taken_down[place] or corpus.library is None:
            raise FileNotFoundError("there are no frames of this video here")
        return read_pictures(corpus.library, corpus.videos.names[place], times, height)

    # Reviews

    def history(self, caption_id: int) -> list[dict[str, Any]]:
        return [review_json(review) for review in self.corpus.reviews_of.get(caption_id, ())]

    def recent(self, limit: int = 200) -> dict[str, Any]:
        """Returns the reviews made last, with the captions that they are of."""
        reviews = self.corpus.reviews.read() if self.corpus.reviews is not None else []
        shown = []
        for review in reversed(reviews[-limit:]):
            row = self.corpus.row_of.get(review.caption_id)
            text = self.corpus.text(row) if row is not None else ""
            shown.append(review_json(review) | {"text": text})
        return {"total": len(reviews), "reviews": shown}


def review_json(review: Review) -> dict[str, Any]:
    return {
        "id": review.id,
        "time": review.time,
        "reviewer": review.reviewer,
        "action": review.action,
        "caption_id": review.caption_id,
        "video_id": review.video_id,
        "video_name": review.video_name,
        "before": review.before,
        "after": review.after,
        "remark": review.remark,
    }
