# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from sklearn.metrics import accuracy_score

from benchmarks.released_surgclip import ReleasedSurgCLIP
from surglavi_hf import SurgCLIPConfig, SurgCLIPModel
from surglavi_hf.demo.run import PROMPTS
from surglavi_hf.evaluation import EvalReport, MeasureOptions, Windows, load_benchmark, zero_shot
from surglavi_hf.evaluation.encoders import encoder_of
from surglavi_hf.evaluation.frame_source import ImageFrames
from surglavi_hf.evaluation.video_store import VideoStore
from surglavi_hf.evaluation.zero_shot import embed_classes
from surglavi_hf.surgclip.windows import centered_window, online_window
from surglavi_hf.training.start import learn_tokenizer

from .native_files import (
    SECONDS,
    VIDEOS,
    classes_of,
    copy_video,
    some_labels,
    write_common,
    write_frames,
    write_native,
)

ZERO = MeasureOptions(absent_classes="zero")
COMMON = [name for name in VIDEOS if name != "cholect50_phases"]
SHIPPED = [name for name in VIDEOS if not name.startswith("grasp")]  # which ships the common form


def read_table(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


@pytest.mark.parametrize("name, common", [(n, False) for n in SHIPPED] + [(n, True) for n in COMMON])
def test_both_inputs_give_the_same(name, common, tmp_path, drawn, tiny_model):
    """In every native form, and in the common one: rows, labels, scores and figures."""
    model, processor = tiny_model
    videos, split = VIDEOS[name]
    labels = {video: some_labels(name, shift=place) for place, video in enumerate(videos)}
    for video, values in labels.items():
        if not common:
            write_native(name, tmp_path / "frames", video, values)
            write_native(name, tmp_path / "videos", video, values)
        write_frames(name, tmp_path / "frames", video, drawn[name], common)
        copy_video(name, tmp_path / "videos", video, drawn[name])
    if common:
        split = {}
        write_common(name, tmp_path / "frames", labels)
        write_common(name, tmp_path / "videos", labels)
    every = [label for values in labels.values() for label in values]
    reports, scores = {}, {}
    for source in ("frames", "videos"):
        benchmark = load_benchmark(name, tmp_path / source, videos=videos, **split)
        assert benchmark.rows["video"] == [video for video in videos for _ in labels[video]]
        assert [label if isinstance(label, int) else tuple(label) for label in benchmark.rows["label"]] == every
        output = tmp_path / "output" / source
        reports[source] = zero_shot(model, processor, benchmark, output_dir=output, batch_size=5)
        tables = [read_table(output / name / "scores" / f"{video}.arrow") for video in videos]
        scores[source] = np.stack([row for table in tables for row in table["scores"].to_pylist()])
    frames, videos_ = reports["frames"], reports["videos"]
    assert np.array_equal(scores["frames"], scores["videos"])
    assert scores["frames"].std(axis=0).max() > 1e-4, "the windows would all be alike"
    assert frames.metrics == videos_.metrics and frames.predictions == videos_.predictions
    assert frames.protocol["input"] == "frame files" and videos_.protocol["input"] == "video files"
    if frames.predictions:
        assert frames.predictions == scores["frames"].argmax(axis=1).tolist()
        assert frames.metrics["accuracy_all_frames"] == accuracy_score(every, frames.predictions)


@pytest.fixture
def folder(tmp_path, drawn):
    """Two AutoLaparo videos, as frames."""
    for place, video in enumerate(VIDEOS["autolaparo"][0]):
        write_native("autolaparo", tmp_path, video, some_labels("autolaparo", shift=place))
        write_frames("autolaparo", tmp_path, video, drawn["autolaparo"])
    return tmp_path


def test_scores_are_those_of_single_windows(folder, tiny_model):
    """Against the model called for each window with the frames of the official rule."""
    model, processor = tiny_model
    benchmark = load_benchmark("autolaparo", folder, videos=["15"])
    for windows, rule in (
        (Windows(), lambda frame: centered_window(frame, SECONDS, 4)),
        (Windows("online", 6), lambda frame: online_window(frame, 6)),
    ):
        output = folder / windows.placement
        report = zero_shot(model, processor, benchmark, windows, output_dir=output, batch_size=3)
        found = read_table(output / "autolaparo" / "scores" / "15.arrow")["scores"].to_pylist()
        frames = benchmark.videos["15"].frames.read(range(SECONDS))
        prompts = [text for (text,) in benchmark.prompts]
        texts = processor.tokenizer(prompts, padding=True, truncation=True, return_tensors="pt")
        with torch.no_grad():
            classes = model.get_text_features(**texts).pooler_output
            for frame, scores in enumerate(found):
                clip = processor(videos=[frames[rule(frame)]], do_sample_frames=False)
                expected = model.get_video_features(clip["pixel_values"]).pooler_output @ classes.T
                assert scores == pytest.approx(expected[0].tolist(), abs=1e-5)
        assert report.protocol["window"] == windows.placement


def test_scores_of_the_released_evaluation(folder, tiny_model):
    """Its forward pass and windows, frames by Pillow, and the tokens of raw prompts; cleaned ones score otherwise."""
    tiny, processor = tiny_model
    vision, text = (getattr(tiny.config, f"{name}_config").to_dict() for name in ("vision", "text"))
    torch.manual_seed(0)
    config = SurgCLIPConfig(vision_config={**vision, "layout": "released"}, text_config=text, projection_dim=64)
    model = SurgCLIPModel(config).eval()
    sizes = {"width": 96, "depth": 3, "num_heads": 4, "hidden": 384, "image_size": 48, "num_frames": 4}
    released = ReleasedSurgCLIP(config.text_config, 64, **sizes).eval()
    released.load_state_dict(model.state_dict())
    benchmark = load_benchmark("autolaparo", folder, videos=["15"])
    frames = []
    for path in benchmark.videos["15"].frames.files():
        with Image.open(path) as image:
            small = np.array(image.convert("RGB").resize((48, 48), Image.Resampling.BICUBIC))
        frames.append((torch.from_numpy(small).permute(2, 0, 1).float() / 255 - 0.5) / 0.5)
    bert, tokens = learn_tokenizer(PROMPTS["task"]), torch.zeros(7, 77, dtype=torch.long)
    for row, (text,) in zip(tokens, benchmark.prompts, strict=True):
        ids = [bert.cls_token_id, *bert.convert_tokens_to_ids(bert.tokenize(text))][:77]
        row[: len(ids)] = torch.tensor(ids)
    windows = [centered_window(frame, SECONDS, 4) for frame in range(SECONDS)]
    clips = torch.stack([torch.stack([frames[place] for place in window]) for window in windows])
    with torch.no_grad():
        expected = (released(clips, tokens, (tokens != bert.pad_token_id).long()) * released.temp).numpy()
    found, reports = {}, {}
    for clean in (False, True):
        output = folder / str(clean)
        reports[clean] = zero_shot(model, processor, benchmark, output_dir=output, clean_prompts=clean)
        found[clean] = np.stack(read_table(output / "autolaparo" / "scores" / "15.arrow")["scores"].to_pylist())
    assert abs(found[False] - expected).max() < 1e-4, "Pillow's resizing rounds otherwise; 5e-5 on real pictures"
    assert abs(found[True] - expected).max() > 5e-3
    assert reports[False].protocol["prompt_cleaning"] == "none, tokenized as they are"
    assert reports[True].protocol["prompt_cleaning"] == "as the model's captions"
    with pytest.raises(ValueError, match="of another evaluation"):
        zero_shot(model, processor, benchmark, output_dir=folder / "False", clean_prompts=True)


def test_the_report_says_what_was_read(folder, tiny_model):
    """All that a score depends on, in words: two reports whose scores differ differ in these lines."""
    benchmark = load_benchmark("autolaparo", folder, videos=["15"], prompts=dict.fromkeys(some_names(), "x " * 90))
    report = zero_shot(*tiny_model, benchmark)
    expected = {
        "device": "cpu",
        "dtype": "float32",
        "attention": "sdpa",
        "float32_products": "highest",
        "text_max_tokens": 77,
        "texts_cut": 1,
        "frame_reading": "by Pillow, RGB of 8 bits, turned as EXIF says",
    }
    assert {name: report.protocol[name] for name in expected} == expected
    assert report.protocol["frame_preprocessing"].startswith(
        "SurgCLIPVideoProcessor: do_sample_frames True, image_mean"
    )
    assert {row["prompts"] for row in report.per_class} == {"x " * 90}
    assert {"numpy", "scipy", "tokenizers"} <= set(report.versions)
    with torch.autocast("cpu"):
        assert encoder_of(*tiny_model).frame_protocol()["dtype"] == "float32, autocast to bfloat16"


def some_names() -> list[str]:
    return classes_of("autolaparo")


def test_every_frame_is_read_once(folder, tiny_model, monkeypatch):
    read = []
    original = ImageFrames.read
    monkeypatch.setattr(ImageFrames, "read", lambda self, places: read.extend(places) or original(self, places))
    zero_shot(*tiny_model, load_benchmark("autolaparo", folder, videos=["15"]), Windows(num_frames=6, stride=2))
    assert sorted(read) == list(range(SECONDS))


def test_prompts_of_a_class_are_averaged(folder, tiny_model):
    model, processor = tiny_model
    benchmark = load_benchmark("autolaparo", folder, videos=["15"])
    once = zero_shot(model, processor, benchmark)
    again = replace(benchmark, prompts=tuple((text, text) for (text,) in benchmark.prompts))
    assert zero_shot(model, processor, again).predictions == once.predictions
    mixed = replace(benchmark, prompts=tuple((text, "a different view") for (text,) in benchmark.prompts))
    with torch.no_grad():
        encoder = encoder_of(model, processor)
        embeds, parts = embed_classes(encoder, mixed.prompts), encoder.embed_texts(mixed.prompts[0])
    assert torch.allclose(embeds.norm(dim=1), torch.ones(7), atol=1e-6)
    assert torch.allclose(embeds[0], torch.nn.functional.normalize(parts.mean(dim=0), dim=0), atol=1e-6)


def test_a_killed_evaluation_goes_on(folder, tiny_model, monkeypatch):
    model, processor = tiny_model
    benchmark = load_benchmark("autolaparo", folder, videos=["15", "21"])
    whole = zero_shot(model, processor, benchmark, output_dir=folder / "whole")
    original, written = VideoStore.write, []

    def write_one(store, video, rows, scores):
        if written:
            raise KeyboardInterrupt
        written.append(video)
        original(store, video, rows, scores)

    with monkeypatch.context() as patch:
        patch.setattr(VideoStore, "write", write_one)
        with pytest.raises(KeyboardInterrupt):
            zero_shot(model, processor, benchmark, output_dir=folder / "killed")
    read = []
    original_read = ImageFrames.read
    monkeypatch.setattr(ImageFrames, "read", lambda self, p: read.append(self.folder.name) or original_read(self, p))
    resumed = zero_shot(model, processor, benchmark, output_dir=folder / "killed")
    assert resumed == whole and set(read) == {"21"}
    assert zero_shot(model, processor, benchmark, output_dir=folder / "killed") == whole


def test_scores_of_another_evaluation_are_refused(folder, tiny_model):
    model, processor = tiny_model
    benchmark = load_benchmark("autolaparo", folder, videos=["15"])
    zero_shot(model, processor, benchmark, output_dir=folder / "out")
    for change in ({"windows": Windows("online")}, {"benchmark": replace(benchmark, prompts=(("x",),) * 7)}):
        with pytest.raises(ValueError, match="of another evaluation"):
            zero_shot(
                model, processor, change.get("benchmark", benchmark), change.get("windows"), ZERO, folder / "out"
            )
    (folder / "out" / "autolaparo" / "scores" / "15.arrow").write_bytes(b"ARROW1")
    with pytest.raises(ValueError, match=r"15\.arrow cannot be read .*; delete it"):
        zero_shot(model, processor, benchmark, output_dir=folder / "out")


def test_two_processes_give_the_report_of_one(folder, tiny_model, tmp_path):
    model, processor = tiny_model
    for part in tiny_model:
        part.save_pretrained(tmp_path / "model")
    script = tmp_path / "evaluate.py"
    script.write_text(
        "import os\n"
        "from transformers import AutoModel, AutoProcessor\n"
        "import surglavi_hf\n"
        "from surglavi_hf import load_benchmark, zero_shot\n"
        "model, processor = AutoModel.from_pretrained('model'), AutoProcessor.from_pretrained('model')\n"
        "benchmark = load_benchmark('autolaparo', '.', videos=['15', '21'])\n"
        "report = zero_shot(model, processor, benchmark, output_dir='together')\n"
        "report.to_json(f'report-{os.environ[\"RANK\"]}.json')\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=120)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    alone = zero_shot(model, processor, load_benchmark("autolaparo", folder, videos=["15", "21"]))
    torch.set_num_threads(threads)
    for rank in range(2):
        report = EvalReport.from_json(tmp_path / f"report-{rank}.json")
        assert report.model.pop("name") == "model"
        alone.model.pop("name", None)
        assert report == alone
    assert len(list((tmp_path / "together" / "autolaparo" / "scores").iterdir())) == 2


def test_what_cannot_be_evaluated(folder, tiny_model):
    labels = load_benchmark("autolaparo", folder, videos=["15"], source="labels")
    with pytest.raises(ValueError, match='was read with source="labels"'):
        zero_shot(*tiny_model, labels)
    with pytest.raises(ValueError, match="autolaparo has no videos"):
        zero_shot(*tiny_model, labels.select([]))


def test_a_video_without_labels_is_left_out(folder, tiny_model):
    benchmark = load_benchmark("autolaparo", folder, videos=["15", "21"])
    emptied = replace(benchmark, videos={**benchmark.videos, "21": replace(benchmark.videos["21"], labels={})})
    assert zero_shot(*tiny_model, emptied).metrics == zero_shot(*tiny_model, benchmark.select(["15"])).metrics
