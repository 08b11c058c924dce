# SPDX-License-Identifier: Apache-2.0
"""Several models side by side: each as alone, frames read once, intervals as SciPy's, and as before after a stop."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch
from torch.nn import functional as F

from surglavi_hf import SurgCLIPProcessor, SurgCLIPVideoProcessor, load_benchmark, retrieval, zero_shot
from surglavi_hf.evaluation import Decoding, MeasureOptions, Probe, VideoEncoder, linear_probe
from surglavi_hf.evaluation import comparison_tables as tables
from surglavi_hf.evaluation.compare import CompareOptions, compare, compare_retrieval, interval_of, join
from surglavi_hf.evaluation.encoders import encoder_of
from surglavi_hf.evaluation.figures import draw_comparison, draw_model_ribbons
from surglavi_hf.evaluation.frame_source import VideoFrames

from .conftest import new_image_model, write_pictures
from .native_files import some_labels, write_frames, write_native
from .test_video_text_encoders import new_model

PROBE = Probe(percents=(50, 100), seeds=2)


class SeesOnly(VideoEncoder):
    """Of images alone, of another size."""

    num_frames, has_text_encoder = 2, False

    def preprocess(self, frames):
        return F.interpolate(frames.float(), (4, 4), mode="area").flatten(1) / 255

    def embed_windows(self, frames, windows):
        return {"raw": frames[windows].mean(dim=1)}

    def embed_texts(self, texts):
        raise AssertionError


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """AutoLaparo of a few seconds a video."""
    folder = tmp_path_factory.mktemp("autolaparo")
    write_pictures(folder / "video.mp4", [float(second) for second in range(10)])
    for place, number in enumerate([*range(1, 11), *range(15, 22)]):
        write_native("autolaparo", folder, f"{number:02d}", some_labels("autolaparo", shift=place))
        write_frames("autolaparo", folder, f"{number:02d}", folder / "video.mp4")
    return folder


@pytest.fixture(scope="module")
def splits(root):
    return load_benchmark("autolaparo", root), load_benchmark("autolaparo", root, "train", prompts="names")


@pytest.fixture(scope="module")
def models(tiny_model):
    tokenizer = tiny_model[1].tokenizer
    found = {kind: encoder_of(*new_image_model(kind, tokenizer)) for kind in ("clip", "siglip", "siglip2")}
    other = encoder_of(*new_image_model("clip", tokenizer))
    torch.manual_seed(3)
    for parameter in other.model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    small = SurgCLIPVideoProcessor(size={"height": 32, "width": 32}, num_frames=4)
    videos = encoder_of(new_model("xclip", len(tokenizer)), SurgCLIPProcessor(small, tokenizer))
    return {
        "SurgCLIP": encoder_of(*tiny_model),
        **found,
        "CLIP of others": other,
        "X-CLIP": videos,
        "sees": SeesOnly(),
    }


@pytest.fixture(scope="module")
def compared(models, splits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    options = CompareOptions(tasks=("zero_shot", "probe"))
    return compare(models, splits[0], folder, splits[1], options=options, probe=PROBE, licences={"clip": "mit"})


def one(comparison, **where):
    found = [f for f in comparison.figures if all(getattr(f, name) == value for name, value in where.items())]
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize("name", ["SurgCLIP", "siglip2", "X-CLIP"])
def test_each_model_gets_what_it_gets_alone(models, splits, compared, name):
    alone = zero_shot(models[name], None, splits[0])
    for measure in ("accuracy_video_mean", "macro_f1_video_mean", "accuracy_all_frames", "macro_f1_all_frames"):
        figure = one(compared, model=name, task="zero-shot", measure=measure)
        assert figure.value == alone.metrics[measure] and list(figure.interval) == alone.intervals[measure]
    assert compared.reports["autolaparo", name, "surgclip"].predictions == alone.predictions


def test_probes_are_what_they_are_alone(models, splits, compared):
    for name in ("SurgCLIP", "sees"):
        alone = linear_probe(models[name], None, splits[1], splits[0], PROBE)
        for percent in PROBE.percents:
            figure = one(compared, model=name, task=f"linear probe, {percent} %", measure="macro_f1_video_mean")
            assert figure.value == alone.metrics[f"macro_f1_video_mean_at_{percent}_percent_mean"]
            assert figure.spread == alone.metrics[f"macro_f1_video_mean_at_{percent}_percent_std"]
            assert list(figure.interval) == alone.intervals[f"macro_f1_video_mean_at_{percent}_percent_mean"]


def scipys_interval(statistic, *samples):
    found = scipy.stats.bootstrap(
        samples,
        statistic,
        paired=True,
        n_resamples=1000,
        method="percentile",
        rng=np.random.default_rng(0),
        vectorized=True,
    ).confidence_interval
    return [found.low, found.high]


def test_intervals_are_scipys(compared):
    """Of figures, and of the differences of two models on the same videos."""

    def of_videos(name):
        report = compared.reports["autolaparo", name, "surgclip"]
        return np.array([row["accuracy"] for row in report.per_video])

    one_, other = of_videos("SurgCLIP"), of_videos("CLIP of others")
    figure = one(compared, model="SurgCLIP", task="zero-shot", measure="accuracy_video_mean")
    expected = scipys_interval(lambda values, axis: values.mean(axis=axis), one_)
    assert list(figure.interval) == pytest.approx(expected, abs=1e-12)
    found = [
        d
        for d in compared.differences()
        if (d.one.model, d.other.model) == ("SurgCLIP", "CLIP of others")
        and (d.one.task, d.one.measure) == ("zero-shot", "accuracy_video_mean")
    ]
    assert len(found) == 1 and found[0].value == pytest.approx(one_.mean() - other.mean())
    expected = scipys_interval(lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis), one_, other)
    assert list(found[0].interval) == pytest.approx(expected, abs=1e-12)
    assert interval_of(np.full(3, np.nan)) is None


class Counting(VideoFrames):
    """Notes which frames are read."""

    seen: list = []

    def read(self, positions):
        self.seen += [(self.path, position) for position in positions]
        return super().read(positions)


@pytest.fixture
def counted(root, tmp_path):
    """The test split, whose frames are counted as they are read."""
    benchmark = load_benchmark("autolaparo", root)
    Counting.seen = []
    videos = {
        name: replace(video, frames=Counting(root / "video.mp4", video.times))
        for name, video in benchmark.videos.items()
    }
    return replace(benchmark, videos=videos)


def test_frames_are_read_once_for_all_models(models, counted, tmp_path):
    comparison = compare(models, counted, tmp_path)
    number = 7 * 8  # videos of as many frames
    assert len(Counting.seen) == number == comparison.frames_read["autolaparo"]
    more = {**models, "one more": encoder_of(*new_image_model("metaclip_2", models["SurgCLIP"].processor.tokenizer))}
    compare(more, counted, tmp_path)
    assert len(Counting.seen) == 2 * number, "once for the new one alone"
    assert compare(more, counted, tmp_path).frames_read["autolaparo"] == 0 and len(Counting.seen) == 2 * number


class Killed(BaseException):
    pass


def every_table(comparison):
    return [
        tables.comparison_markdown(comparison, "video_mean"),
        tables.comparison_latex(comparison, "all_frames"),
        tables.figures_csv(comparison),
        tables.differences_csv(comparison),
    ]


@pytest.mark.parametrize("after", [1, 30, 100])
def test_stopped_and_started_again_it_is_the_same(models, splits, compared, tmp_path, monkeypatch, after):
    """Stopped in the middle of a video, of the models, and of the probes."""
    kind, left = type(models["siglip"]), [after]
    original = kind.embed_windows

    def stop(self, *arguments):
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return original(self, *arguments)

    arguments = (models, splits[0], tmp_path, splits[1])
    options = {"options": CompareOptions(tasks=("zero_shot", "probe")), "probe": PROBE, "licences": {"clip": "mit"}}
    monkeypatch.setattr(kind, "embed_windows", stop)
    stopped = True
    try:
        compare(*arguments, **options)
        stopped = False
    except Killed:
        pass
    assert stopped == (after < 100)
    monkeypatch.setattr(kind, "embed_windows", original)
    assert every_table(compare(*arguments, **options)) == every_table(compared)


def test_a_probe_that_is_done_is_not_done_again(models, splits, tmp_path, monkeypatch):
    options = {"options": CompareOptions(tasks=("probe",)), "probe": PROBE}
    few = {"sees": models["sees"]}
    first = compare(few, splits[0], tmp_path, splits[1], **options)
    monkeypatch.setattr("surglavi_hf.evaluation.compare.linear_probe", None)
    again = compare(few, splits[0], tmp_path, splits[1], **options)
    assert every_table(again) == every_table(first) and again.models["sees"].seconds == first.models["sees"].seconds
    path = next((tmp_path / "probes").iterdir())
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"json cannot be read .*; delete it"):
        compare(few, splits[0], tmp_path, splits[1], **options)


def test_prompt_sets_have_mean_and_spread(models, splits, root, tmp_path):
    test = splits[0]
    names = load_benchmark("autolaparo", root, source="labels", prompts="names")
    sets = {"own": test, "names": test.with_prompts(names.prompts, "names: the class names as words")}
    few = {name: models[name] for name in ("SurgCLIP", "clip")}
    comparison = compare(few, test, tmp_path, prompt_sets=sets)
    for name in few:
        values = [
            one(comparison, model=name, prompts=prompts, measure="macro_f1_all_frames").value for prompts in sets
        ]
        mean = one(comparison, model=name, prompts="mean of own, names", measure="macro_f1_all_frames")
        assert mean.value == pytest.approx(np.mean(values)) and mean.spread == pytest.approx(np.std(values, ddof=1))
        draws = [one(comparison, model=name, prompts=p, measure="macro_f1_all_frames").draws for p in sets]
        assert list(mean.interval) == pytest.approx(np.percentile(np.mean(draws, axis=0), [2.5, 97.5]))
        alone = zero_shot(few[name], None, sets["names"])
        assert one(comparison, model=name, prompts="names", measure="accuracy_all_frames").value == pytest.approx(
            alone.metrics["accuracy_all_frames"]
        )
    assert len(comparison.columns("video_mean")) == 2, "the table has the means"
    header, rows = tables.prompt_table(comparison, "video_mean")
    assert header[2:4] == ["own", "names"] and len(rows) == 4 and "±" in rows[0][4]
    text = tables.comparison_markdown(comparison, "video_mean")
    assert "## Prompt sets" in text and "autolaparo, zero-shot (prompts: mean of own, names), accuracy |" in text
    assert f"| prompts | {test.protocol['prompts']}; names: the class names as words |" in text


def test_texts_that_are_cut_are_counted_in_every_prompt_set(models, splits, tmp_path):
    test = splits[0]
    long = test.with_prompts([["the hook " * 30]] * len(test.classes), "long")
    comparison = compare({"clip": models["clip"]}, test, tmp_path, prompt_sets={"long": long, "own": test})
    of_own = zero_shot(models["clip"], None, test).protocol["texts_cut"]
    assert comparison.models["clip"].seen["autolaparo"]["texts_cut"] == len(test.classes) + of_own


def test_decoding_is_in_tables_of_its_own(models, splits, compared, tmp_path):
    few = {"clip": models["clip"]}
    comparison = compare(few, *(splits[0], tmp_path, splits[1]), decoding=Decoding(causal=3, viterbi=True))
    plain = one(comparison, decoding="", measure="accuracy_video_mean")
    assert plain.value == one(compared, model="clip", task="zero-shot", measure="accuracy_video_mean").value
    assert {figure.decoding for figure in comparison.figures} == {"", "causal smoothing", "viterbi"}
    header, _ = tables.figure_table(comparison, "video_mean")
    decoded, _ = tables.figure_table(comparison, "video_mean", decoded=True)
    assert not any("viterbi" in name for name in header) and sum("viterbi" in name for name in decoded) == 2
    text = tables.comparison_markdown(comparison, "video_mean")
    assert "| causal smoothing | mean of scores over 3 s up to each frame |" in text
    assert "| viterbi | likeliest course over the whole video" in text


def test_what_is_not_there_is_said(models, splits, compared, tmp_path):
    assert compared.notes == ["sees has no text encoder: no zero-shot recognition"]
    assert not any(figure.model == "sees" and figure.task == "zero-shot" for figure in compared.figures)
    with pytest.raises(ValueError, match="autolaparo is read without its training split, which probing needs"):
        compare(models, splits[0], tmp_path, options=CompareOptions(tasks=("probe",)))
    with pytest.raises(ValueError, match=r"tasks=\(\)"):
        CompareOptions(tasks=())
    silent = encoder_of(*new_image_model("clip", models["SurgCLIP"].processor.tokenizer))
    silent.__class__ = type("Silent", (type(silent),), {"logit_scale": None})
    comparison = compare({"silent": silent}, *(splits[0], tmp_path, splits[1]), decoding=Decoding(viterbi=True))
    assert comparison.notes == ["silent says no scale of its scores: no viterbi"]


def test_the_table(compared):
    header, rows = tables.figure_table(compared, "video_mean")
    assert header[:3] == ["model", "parameters", "licence"] and header[3] == "autolaparo, zero-shot, accuracy"
    named = {row[0]: row for row in rows}
    assert named["clip"][2] == "mit" and named["sees"][3] == "–" and named["sees"][1] == "0"
    assert named["clip"][3].endswith("]") and "[" in named["clip"][3]
    sources = tables.sources(compared, "video_mean")
    assert [source.paper.split()[0] for source in sources] == ["SurgLaVi", "CliPPER", "SurgLaVi"]
    assert named["SurgCLIP (β), published [1]"][3:5] == ["55.72", "45.95"]
    assert named["CliPPER, published [2]"][3:5] == ["–", "49.40"]
    column = header.index("autolaparo, linear probe, 100 %, macro F1")
    assert named["LEMON, published [3]"][column] == "69.40"


def test_markdown_names_sources_protocol_and_differences(compared):
    text = tables.comparison_markdown(compared, "video_mean")
    assert "[2] CliPPER (arXiv 2603.24539); zero-shot table" in text and "Which of the two averages" in text
    assert "| window | centered | centered |" in text and "| minus | SurgCLIP | clip |" in text
    assert "1000 bootstrap draws of whole videos, seed 0" in text and "seconds, " not in text
    assert "sees has no text encoder" in text
    assert "| seeds | 2 |" in text and "| train num videos |" in text and "| fits not converged | 0 of 4 |" in text
    assert "nan" not in text.split("## Protocol")[0] and "None" not in text.split("## Protocol")[0]


def test_csv(compared):
    rows = list(csv.DictReader(io.StringIO(tables.figures_csv(compared))))
    measured, published = ([row for row in rows if row["published"] == said] for said in ("no", "yes"))
    assert len(measured) == len(compared.figures) and len(published) == 16 + 18
    assert all(row["paper"] and row["table"] and row["protocol"] and row["date"] for row in published)
    assert all(float(row["low"]) <= float(row["value"]) <= float(row["high"]) for row in measured)
    differences = list(csv.DictReader(io.StringIO(tables.differences_csv(compared))))
    assert len(differences) == 4 * (6 * 5 // 2) + 8 * (7 * 6 // 2)
    seconds = next(csv.DictReader(io.StringIO(tables.models_csv(compared))))
    assert float(seconds["seconds, autolaparo"]) > 0 and "frame preprocessing" in seconds


def test_latex_escapes(compared):
    text = tables.comparison_latex(compared, "video_mean")
    assert r"SurgCLIP ($\beta$), published [1]" in text and "100 \\%" in text and text.count(r"\\") == 1 + 7 + 15
    body = [line for line in text.splitlines() if not line.startswith("%")]
    columns = text.split("tabular}{")[1].split("}")[0]
    assert all(line.count(" & ") == len(columns) - 1 for line in body if line.endswith(r"\\"))


def test_pictures(compared, splits, tmp_path):
    from PIL import Image

    draw_comparison(compared, "video_mean", tmp_path / "comparison.png")
    draw_model_ribbons(splits[0], "15", compared.predictions["autolaparo"]["15"], "surgclip", tmp_path / "ribbons.png")
    for name in ("comparison", "ribbons"):
        picture = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB")).astype(int)
        assert ((picture.max(axis=2) - picture.min(axis=2)) > 60).sum() > 2000, "in colour"
    assert list(compared.predictions["autolaparo"]["15"]) == [name for name in compared.models if name != "sees"]


def test_several_classes_a_frame_and_join(models, root, compared, tmp_path_factory, tmp_path):
    folder = tmp_path_factory.mktemp("tools")
    for place, video in enumerate(("video41", "video80")):
        write_native("cholec80_tools", folder, video, some_labels("cholec80_tools", shift=place))
        write_frames("cholec80_tools", folder, video, root / "video.mp4")
    tools = load_benchmark("cholec80_tools", folder, videos=["video41", "video80"])
    options = CompareOptions(tasks=("zero_shot", "probe"))
    comparison = compare(models, tools, tmp_path, options=options, decoding=Decoding(causal=2))
    assert "cholec80_tools has several classes a frame: no linear probing" in comparison.notes
    assert "cholec80_tools has several classes a frame: no decoding over time" in comparison.notes
    assert {figure.measure for figure in comparison.figures} == {
        "mean_average_precision_video_mean",
        "mean_average_precision_all_frames",
    }
    joined = join([compared, comparison])
    header, rows = tables.figure_table(joined, "video_mean")
    assert header[-1] == "cholec80_tools, zero-shot, mAP" and len(joined.figures) == sum(
        len(part.figures) for part in (compared, comparison)
    )
    assert next(row for row in rows if row[0].startswith("PeskaVLP"))[-1] == "38.88"
    assert set(joined.models["clip"].seconds) == {"autolaparo", "autolaparo, probe", "cholec80_tools"}
    with pytest.raises(ValueError, match="autolaparo is compared twice"):
        join([compared, compared])


def test_retrieval(models, clips, tmp_path):
    few = {name: models[name] for name in ("SurgCLIP", "clip", "sees")}
    measures = MeasureOptions(resamples=50)
    comparison = compare_retrieval(few, clips, "mine", "Mine", tmp_path, {"level": "task"}, measures)
    alone = retrieval(few["clip"], None, clips, resamples=50)
    assert one(comparison, model="clip", measure="text_to_video_R@1").value == alone.metrics["text_to_video_R@1"]
    assert comparison.notes == ["sees has no text encoder: no retrieval"]
    header, _ = tables.figure_table(comparison, "video_mean")
    assert header[3] == "Mine, retrieval, text → video R@1" and comparison.protocols["mine"]["level"] == "task"
    again = compare_retrieval(few, clips, "mine", "Mine", tmp_path, {"level": "task"}, measures)
    assert every_table(again) == every_table(comparison)
