# SPDX-License-Identifier: Apache-2.0
"""How endoscopic clips look, to an encoder that knows bright from dark."""

import pytest
import torch

from surglavi_hf.annotate.corpus import open_corpus
from surglavi_hf.annotate.report import make_report
from surglavi_hf.annotate.results import Results
from surglavi_hf.annotate.views import ViewOptions, look_at_clips
from surglavi_hf.cli import main
from surglavi_hf.evaluation import VideoEncoder
from surglavi_hf.media import VideoLibrary

from .oracle import Oracle
from .scripted_server import ScriptedServer
from .spoken import plan_scripts, texts, write_spoken_corpus


class Brightness(VideoEncoder):
    """Takes what is bright for an endoscopic operation."""

    num_frames = 2
    logit_scale = 20.0
    looked = 0

    def preprocess(self, frames):
        return frames.float().mean(dim=(1, 2, 3))[:, None] / 255

    def embed_windows(self, frames, windows):
        type(self).looked += len(windows)
        value = frames[windows].mean(dim=1)
        embeds = torch.nn.functional.normalize(torch.cat([value, 1 - value], dim=1), dim=1)
        return {"projected": embeds, "raw": embeds}

    def embed_texts(self, texts):
        inside = [any(word in text for word in ("laparoscopic", "endoscop")) for text in texts]
        return torch.tensor([[1.0, 0.0] if one else [0.0, 1.0] for one in inside])


@pytest.fixture
def corpus(tmp_path, write_video):
    """Two videos of the same words: of the first there is a film that becomes brighter, of the second none."""
    scripts = plan_scripts(1)
    scripts["Operation 2"] = scripts["Operation 1"]
    folder = write_spoken_corpus(tmp_path / "corpus", texts(scripts))
    path = VideoLibrary(folder).video_path("video-1")
    path.parent.mkdir(parents=True)
    write_video(path, [3.0 * frame for frame in range(31)])
    with ScriptedServer(Oracle(scripts)) as server:
        for stage in ("segment", "filter"):
            command = ["annotate", stage, "--data-dir", str(folder), "--base-url", server.base_url]
            assert main([*command, "--model", "scripted"]) == 0
    return folder


def test_clips_are_kept_by_what_they_show(corpus):
    with open_corpus(corpus, to_write=True) as opened:
        before = list(Results(opened).videos("filter"))
        assert all(clip.is_kept for video in before for clip in video.clips)
        views = look_at_clips(opened, Brightness(), ViewOptions())
        number = len(before[0].clips)
        assert (views.clips, views.known, views.missing) == (number, 0, number)
        assert 0 < views.kept < number
        first, second = Results(opened).videos("filter")
        assert all(clip.seen is None and clip.is_kept for clip in second.clips)  # nobody could look
        middles = {clip.seen: [] for clip in first.clips}
        for clip in first.clips:
            middles[clip.seen].append((clip.start + clip.end) / 2)
            assert clip.is_kept == clip.seen
            assert 0 <= clip.view[0] <= clip.view[1] <= 1 + 1e-6
        assert max(middles[False]) < min(middles[True])
        report = make_report(opened)
        assert report.left_out["not endoscopic or surgical to see"] == number - views.kept
        assert report.stages["look"]["thresholds"]["endoscopic"] == 0.5


def test_nothing_is_looked_at_twice(corpus):
    with open_corpus(corpus, to_write=True) as opened:
        first = look_at_clips(opened, Brightness(), ViewOptions())
        looked = Brightness.looked
        everything = look_at_clips(opened, Brightness(), ViewOptions(0.0, 0.0))
        assert Brightness.looked == looked
        assert (everything.known, everything.kept) == (first.clips, first.clips)
        assert look_at_clips(opened, Brightness(), ViewOptions(1.0, 1.0)).kept < first.kept


def test_a_film_that_cannot_be_read(corpus):
    VideoLibrary(corpus).video_path("video-1").write_bytes(b"no film")
    with open_corpus(corpus, to_write=True) as opened:
        views = look_at_clips(opened, Brightness(), ViewOptions())
        assert views.clips == 0
        assert sum(views.unreadable.values()) > 0
        (kind,) = [kind for kind in make_report(opened).left_out if "cannot be read" in kind]
        first, _ = Results(opened).videos("filter")
        assert all(clip.seen is None for clip in first.clips)
        assert kind == "clip that cannot be read"


def test_thresholds():
    for options in ({"endoscopic_threshold": 1.5}, {"surgical_threshold": float("nan")}):
        with pytest.raises(ValueError, match="expected a share from 0 to 1"):
            ViewOptions(**options)


def test_nothing_to_look_at(tmp_path):
    folder = write_spoken_corpus(tmp_path / "corpus", texts(plan_scripts(1)))
    with open_corpus(folder, to_write=True) as opened, pytest.raises(ValueError, match="annotate segment first"):
        look_at_clips(opened, Brightness(), ViewOptions())
