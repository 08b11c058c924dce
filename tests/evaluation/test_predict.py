# SPDX-License-Identifier: Apache-2.0
import csv
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from surglavi_hf.cli import main
from surglavi_hf.demo.benchmark import VIDEOS, write_benchmark
from surglavi_hf.evaluation import (
    EmbeddingOptions,
    EvalReport,
    PredictOptions,
    VideoEncoder,
    load_benchmark,
    predict,
    zero_shot,
)
from surglavi_hf.evaluation.predict import Segment

PROMPTS = {"bright": "a bright picture", "dark": ["a dark picture", "night"]}


class Brightness(VideoEncoder):
    """Knows bright from dark."""

    num_frames = 1
    logit_scale = 20.0

    def preprocess(self, frames):
        return frames.float().mean(dim=(1, 2, 3))[:, None] / 255

    def embed_windows(self, frames, windows):
        value = frames[windows].mean(dim=1)
        embeds = torch.nn.functional.normalize(torch.cat([value, 1 - value], dim=1), dim=1)
        return {"projected": embeds, "raw": embeds}

    def embed_texts(self, texts):
        return torch.tensor([[1.0, 0.0] if "bright" in text else [0.0, 1.0] for text in texts])


@pytest.fixture(scope="module")
def films(tmp_path_factory, write_film):
    folder = tmp_path_factory.mktemp("films")
    write_film(folder / "a.mp4", [250] * 4 + [5] * 3 + [250] + [5] * 2)
    write_film(folder / "b.mp4", [5] * 6)
    (folder / "c.mp4").write_bytes(b"broken")
    return folder


@pytest.fixture(scope="module")
def write_film():
    """A grey value a second, at 5 frames a second."""
    import av

    def write(path, values):
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=5)
            stream.width = stream.height = 32
            stream.pix_fmt = "yuv420p"
            for value in np.repeat(values, 5):
                picture = np.full((32, 32, 3), value, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())

    return write


def test_segments_and_files(films, tmp_path):
    found = predict(Brightness(), None, [films], PROMPTS, tmp_path / "out")
    times = [(segment.start, segment.end, segment.label) for segment in found.videos["a"].segments]
    assert times == [(0, 4, "bright"), (4, 7, "dark"), (7, 8, "bright"), (8, 10, "dark")]
    assert found.videos["b"].segments[0].end == 6 and found.videos["b"].segments[0].confidence > 0.95
    assert list(found.unreadable) == [str(films / "c.mp4")]
    with (tmp_path / "out" / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[1] | {"score": "", "confidence": ""} == {
        "video": "a",
        "start": "4.000",
        "end": "7.000",
        "label": "dark",
        "score": "",
        "confidence": "",
    }
    said = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert said["protocol"]["smoothing"] == "none" and said["videos"]["a"]["segments"] == 4
    assert list(said["unreadable"]) == ["c.mp4"] and str(films) not in json.dumps(said)


def test_smoothing_is_named_and_takes_short_segments_away(films, tmp_path):
    found = predict(Brightness(), None, [films / "a.mp4"], PROMPTS, tmp_path, PredictOptions(smoothing=3))
    assert [segment.label for segment in found.videos["a"].segments] == ["bright", "dark"]
    assert found.protocol["smoothing"] == "mean of scores over 3 frames (3 s), centred"


def test_it_goes_on_where_it_was_stopped(films, tmp_path):
    calls = []

    class Counting(Brightness):
        def embed_windows(self, frames, windows):
            calls.append(len(windows))
            return super().embed_windows(frames, windows)

    first = predict(Counting(), None, [films / "a.mp4"], PROMPTS, tmp_path)
    assert sum(calls) == 10
    again = predict(
        Counting(), None, [films / "a.mp4", films / "b.mp4"], PROMPTS, tmp_path, PredictOptions(smoothing=3)
    )
    assert sum(calls) == 16, "another smoothing is of the same scores"
    assert np.allclose(first.videos["a"].scores[0], again.videos["a"].scores[0])
    with pytest.raises(ValueError, match=r"is of another evaluation .*; name another folder"):
        predict(Counting(), None, [films / "a.mp4"], {**PROMPTS, "dark": "black"}, tmp_path)


def test_beside_labels_it_is_a_zero_shot_evaluation(tmp_path, tiny_model):
    """The measures of the demo's benchmark, by its own table of labels."""
    path = write_benchmark(tmp_path / "benchmark", seed=1)
    report = zero_shot(*tiny_model, load_benchmark(path))
    videos = [path.parent / "videos" / f"{name}.mp4" for name in VIDEOS[2:]]
    labels = path.parent / "labels.csv"
    found = predict(*tiny_model, videos, path, tmp_path / "out", PredictOptions(fps=2), labels=labels).report
    assert found.predictions == report.predictions and found.metrics == pytest.approx(report.metrics, nan_ok=True)
    assert found.per_video == report.per_video
    for name, ends in report.intervals.items():
        assert found.intervals[name] == pytest.approx(ends, abs=1e-6)
    # What was predicted is read as labels are, and agrees with itself.
    rows = [*(tmp_path / "out" / f"{name}.csv" for name in VIDEOS[2:])]
    text = rows[0].read_text() + "".join(rows[1].read_text().splitlines(keepends=True)[1:])
    (tmp_path / "mine.csv").write_text(text)
    again = predict(*tiny_model, videos, path, tmp_path / "out", PredictOptions(fps=2), labels=tmp_path / "mine.csv")
    assert again.report.metrics["accuracy_all_frames"] == 1


@pytest.mark.parametrize(
    "change, message",
    [
        ({"videos": []}, "no videos are given"),
        ({"videos": ["gone.mp4"]}, r"no video at .*gone\.mp4"),
        ({"videos": ["a.mp4", "more/a.mp4"]}, r"a\.mp4 and .*more/a\.mp4 have one name"),
        ({"videos": ["c.mp4"]}, r"none of 1 videos can be read \(.*c\.mp4"),
        ({"videos": ["empty"]}, "no videos in .*empty, expected files such as"),
        ({"prompts": {"one": "x"}}, "prompts: expected at least two class names"),
        ({"prompts": {"one": "x", "two": 3}}, "class 'two' has 3, expected a text"),
        ({"prompts": "gone.yaml"}, r"no prompts at gone\.yaml"),
        ({"prompts": "cholec8"}, "benchmark 'cholec8', expected"),
        ({"labels": "labels.csv"}, "labels of none of these videos"),
        ({"labels": "unknown.csv"}, r"unknown\.csv, line 2.*'green'"),
        ({"labels": "gone.csv"}, r"no labels at .*gone\.csv, expected a table video,start,end,label"),
    ],
)
def test_wrong_input_is_one_line(films, tmp_path, change, message):
    folder = tmp_path / "films"
    shutil.copytree(films, folder)
    shutil.copytree(films, folder / "more")
    (folder / "empty").mkdir()
    (folder / "labels.csv").write_text("video,start,end,label\nother,0,1,dark\n")
    (folder / "unknown.csv").write_text("video,start,end,label\na,0,1,green\n")
    given = {"videos": ["a.mp4"], "prompts": PROMPTS, "labels": None, **change}
    videos = [folder / name for name in given["videos"]]
    labels = given["labels"] and folder / given["labels"]
    with pytest.raises((OSError, ValueError), match=message) as caught:
        predict(Brightness(), None, videos, given["prompts"], tmp_path / "out", labels=labels)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists(), "it is said before a frame is looked at"


def test_strict(films, tmp_path):
    with pytest.raises(ValueError, match=r"c\.mp4 cannot be read"):
        predict(Brightness(), None, [films], PROMPTS, tmp_path, embedding=EmbeddingOptions(strict=True))


def test_a_model_without_a_scale_has_scores_alone(films, tmp_path):
    class Unscaled(Brightness):
        logit_scale = None

    found = predict(Unscaled(), None, [films / "b.mp4"], PROMPTS, tmp_path)
    assert found.videos["b"].probabilities is None
    assert isinstance(found.videos["b"].segments[0], Segment) and found.videos["b"].segments[0].confidence is None
    assert "none: the model says no scale" in found.protocol["confidence"]


def test_tables_are_written_where_the_video_with_labels_cannot_be_read(films, tmp_path):
    (tmp_path / "labels.csv").write_text("video,start,end,label\nc,0,4,bright\n")
    with pytest.raises(ValueError, match=r"none of the videos that have labels in .*labels\.csv can be read"):
        predict(Brightness(), None, [films], PROMPTS, tmp_path / "out", labels=tmp_path / "labels.csv")
    assert {"a.csv", "b.csv", "predictions.json"} <= {path.name for path in (tmp_path / "out").iterdir()}


@pytest.mark.parametrize(
    "change, message",
    [
        (("--prompts", "gone.yaml"), "no prompts at gone.yaml"),
        (("VIDEO", "gone.mp4"), "no video at gone.mp4"),
        (("--labels", "gone.csv"), "no labels at gone.csv"),
    ],
)
def test_the_command_says_it_before_it_loads_a_model(films, tmp_path, monkeypatch, capsys, change, message):
    monkeypatch.setattr("surglavi_hf.cli.predict.load_model", lambda options: pytest.fail("a model is loaded"))
    (tmp_path / "prompts.yaml").write_text("bright: a bright picture\ndark: a dark picture\n")
    given = {"VIDEO": str(films), "--prompts": str(tmp_path / "prompts.yaml"), "--output": str(tmp_path / "out")}
    given |= {"--model": "none", change[0]: change[1]}
    assert main(["predict", given.pop("VIDEO"), *(word for pair in given.items() for word in pair)]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_the_command(films, tmp_path, tiny_model, capsys):
    for part in tiny_model:
        part.save_pretrained(tmp_path / "model")
    (tmp_path / "prompts.yaml").write_text("bright: a bright picture\ndark: a dark picture\n")
    (tmp_path / "labels.csv").write_text("video,start,end,label\na,0,4,bright\na,4,10,dark\nb,0,6,dark\n")
    command = ["predict", str(films), "--prompts", str(tmp_path / "prompts.yaml"), "--model", str(tmp_path / "model")]
    command += ["--output", str(tmp_path / "out"), "--labels", str(tmp_path / "labels.csv"), "--smoothing", "3"]
    assert main(command) == 1
    captured = capsys.readouterr()
    assert "macro jaccard" in captured.out and "mean of scores over 3 frames" in " ".join(captured.out.split())
    assert captured.err.strip().splitlines()[-1].startswith(f"surglavi predict: {films / 'c.mp4'} cannot be read (")
    names = {"a.csv", "a.png", "b.csv", "b.png", "predictions.json", "report.json", "report.md", "scores"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert EvalReport.from_json(tmp_path / "out" / "report.json").protocol["videos_with_labels"] == "a, b"
    assert Image.open(tmp_path / "out" / "a.png").size[0] == 1100
