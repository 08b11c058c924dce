# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from surglavi_hf.evaluation import Probe, VideoEncoder, linear_probe, load_benchmark
from surglavi_hf.evaluation.frame_source import ImageFrames
from surglavi_hf.evaluation.linear_probe import _draws

from .native_files import SECONDS, some_labels, write_frames, write_native

TRAIN, TEST = [f"{number:02d}" for number in range(1, 5)], ["15", "16"]


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory, drawn):
    root = tmp_path_factory.mktemp("probe")
    for place, video in enumerate([*TRAIN, *TEST]):
        write_native("autolaparo", root, video, some_labels("autolaparo", shift=place))
        write_frames("autolaparo", root, video, drawn["autolaparo"])
    return tuple(
        load_benchmark("autolaparo", root, split, names) for split, names in (("train", TRAIN), ("test", TEST))
    )


def test_against_scikit_learn_by_hand(benchmarks, tiny_model):
    """All procedures: features of single windows, one logistic regression, F1 over all classes."""
    train, test = benchmarks
    model, processor = tiny_model
    report = linear_probe(model, processor, train, test, Probe(features="both", percents=(100,), seeds=2))
    features = {}
    for benchmark in benchmarks:
        for name, video in benchmark.videos.items():
            frames = video.frames.read(range(SECONDS))
            rows = []
            for frame in range(SECONDS):
                window = [min(max(frame + offset, 0), SECONDS - 1) for offset in (-2, -1, 0, 1)]
                inputs = processor(videos=[frames[window]], do_sample_frames=False)
                with torch.no_grad():
                    raw = model.vision_encoder(inputs["pixel_values"]).pooler_output.mean(dim=1)
                    rows.append(torch.cat([raw, model.get_video_features(**inputs).pooler_output], dim=1))
            features[name] = torch.cat(rows).numpy()
    x, y = np.concatenate([features[n] for n in TRAIN]), np.concatenate([train.labels(n) for n in TRAIN])
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(x, y)
    scores = [
        f1_score(test.labels(n), classifier.predict(features[n]), labels=range(7), average="macro", zero_division=0)
        for n in TEST
    ]
    assert report.metrics["macro_f1_video_mean_at_100_percent_mean"] == pytest.approx(np.mean(scores), abs=0.02)
    assert report.metrics["macro_f1_video_mean_at_100_percent_std"] == 0


def test_draws_are_of_procedures_and_nest(benchmarks):
    train, _ = benchmarks
    draws = list(_draws(train, Probe(percents=(10, 50, 100), seeds=6)))
    assert [amount for amount, _ in draws[:3]] == ["10_percent", "50_percent", "100_percent"]
    for place in range(0, len(draws), 3):
        small, half, whole = (set(chosen) for _, chosen in draws[place : place + 3])
        assert small < half < whole == set(TRAIN) and (len(small), len(half)) == (1, 2)
        assert all(len(rows) == SECONDS for _, chosen in draws[place : place + 3] for rows in chosen.values())
    assert len({tuple(chosen) for _, chosen in draws[1::3]}) > 1, "each seed draws others"


def test_few_shots(benchmarks, tiny_model):
    train, test = benchmarks
    (_, chosen), *_ = _draws(train, Probe(percents=(), shots=(2,), seeds=1))
    labels = np.concatenate([train.labels(name)[rows] for name, rows in chosen.items()])
    every = np.concatenate([train.labels(name) for name in TRAIN])
    assert np.array_equal(np.bincount(labels, minlength=7), np.minimum(np.bincount(every, minlength=7), 2))
    probe = Probe("projected", "torch_linear", percents=(), shots=(1, 2), seeds=2)
    report = linear_probe(*tiny_model, train, test, probe)
    assert {name.rpartition("_at_")[2] for name in report.metrics} == {
        f"{n}_shots_{s}" for n in (1, 2) for s in ("mean", "std")
    }
    assert report == linear_probe(*tiny_model, train, test, probe), "the same twice"


def test_features_are_computed_once(benchmarks, tiny_model, tmp_path, monkeypatch):
    train, test = benchmarks
    first = linear_probe(*tiny_model, train, test, Probe(seeds=1), cache_dir=tmp_path)

    def read(self, positions):
        raise AssertionError("the features are on disk")

    monkeypatch.setattr(ImageFrames, "read", read)
    raw = linear_probe(*tiny_model, train, test, Probe("raw", seeds=1), cache_dir=tmp_path)
    assert linear_probe(*tiny_model, train, test, Probe(seeds=1), cache_dir=tmp_path) == first
    assert raw.metrics and len(list(tmp_path.iterdir())) == 2
    with pytest.raises(AssertionError, match="on disk"), torch.autocast("cpu"):  # other features
        linear_probe(*tiny_model, train, test, Probe(seeds=1), cache_dir=tmp_path)


def test_the_report_says_what_was_fitted(benchmarks, tiny_model):
    train, test = benchmarks
    report = linear_probe(*tiny_model, train.select(TRAIN[:2]), test, Probe(percents=(50, 100), seeds=3))
    expected = {
        "train_split": "train",
        "train_num_videos": 2,
        "train_videos": "01, 02",
        "train_num_labelled_frames": 2 * SECONDS,
        "num_videos": 2,
        "videos": "15, 16",
        "num_fits": 6,
        "num_fits_not_converged": 0,
        "dtype": "float32",
        "attention": "sdpa",
    }
    assert {name: report.protocol[name] for name in expected} == expected
    assert report.protocol["frame_reading"].startswith("by Pillow") and "ddof 0" in report.protocol["draws"]
    assert not any("prompt" in name for name in report.protocol)


def test_what_cannot_be_probed(benchmarks, tiny_model):
    train, test = benchmarks
    with pytest.raises(ValueError, match="video 15 is in train and in test"):
        linear_probe(*tiny_model, test, test)
    empty = replace(train, videos={"01": replace(train.videos["01"], labels={})})
    with pytest.raises(ValueError, match="split train of autolaparo has no labelled frame"):
        linear_probe(*tiny_model, empty, test)
    with pytest.raises(ValueError, match="expected one benchmark"):
        linear_probe(*tiny_model, replace(train, name="other"), test)
    several = [replace(part, kind="multi_label") for part in benchmarks]
    with pytest.raises(ValueError, match="several classes a frame"):
        linear_probe(*tiny_model, *several)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"features": "x"}, "features='x', expected 'raw'"),
        ({"classifier": "x"}, "classifier='x'"),
        ({"percents": (0,)}, r"percents=\(0,\), expected numbers from 1 to 100"),
        ({"percents": (10, 10)}, "expected each once"),
        ({"seeds": 0}, "seeds=0"),
        ({"shots": (0,)}, r"shots=\(0,\)"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        Probe(**settings)


def test_the_seam_for_other_models(benchmarks):
    """A class of the caller's is all another model needs; a frame's mean colour tells the drawn pictures apart."""

    class MeanColour(VideoEncoder):
        num_frames = 1

        def preprocess(self, frames):
            return frames.float().mean(dim=(2, 3)) / 255

        def embed_windows(self, frames, windows):
            return {"projected": frames[windows].mean(dim=1), "raw": frames[windows].mean(dim=1)}

        def embed_texts(self, texts):
            return torch.ones(len(texts), 3)

    encoder = MeanColour(torch.nn.Linear(1, 1), None)
    report = linear_probe(encoder, None, *benchmarks, Probe(percents=(100,), seeds=1))
    assert report.model["name"] == "Linear" and report.metrics["accuracy_all_frames_at_100_percent_mean"] > 0
    encoder.embed_windows = lambda frames, windows: {"projected": frames[windows].mean(dim=1)}
    with pytest.raises(ValueError, match="the encoder gives no raw features; choose features='projected'"):
        linear_probe(encoder, None, *benchmarks, Probe("both", percents=(100,), seeds=1))
    settings = [Probe(features, percents=(100,), seeds=1) for features in (None, "projected")]
    default, named = (linear_probe(encoder, None, *benchmarks, each) for each in settings)
    assert default == named and default.protocol["features"] == "projected", "by default what there is"
