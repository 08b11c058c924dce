# SPDX-License-Identifier: Apache-2.0
"""Any encoder through every evaluation: SurgCLIP, CLIP, SigLIP, SigLIP 2 and one of a user's own."""

import json

import pytest
import torch
from datasets import load_dataset
from torch.nn import functional as F

from surglavi_hf import EvalReport, zero_shot_clips
from surglavi_hf.cli import main
from surglavi_hf.data import Embeddings
from surglavi_hf.evaluation import embed_clips, embed_texts, load_encoder

from .conftest import new_image_model, write_pictures
from .native_files import some_labels, write_frames, write_native
from .test_named_encoders import CODE

KINDS = ("surgclip", "clip", "siglip", "siglip2", "own")


@pytest.fixture(scope="module")
def folder(tiny_model, tmp_path_factory):
    """With a folder for each model, a module of a user's, and a benchmark."""
    folder = tmp_path_factory.mktemp("encoders")
    models = {kind: new_image_model(kind, tiny_model[1].tokenizer) for kind in KINDS[1:-1]}
    for kind, parts in {"surgclip": tiny_model, **models}.items():
        for part in parts:
            part.save_pretrained(folder / kind)
    (folder / "my_encoder.py").write_text(CODE)
    write_pictures(folder / "video.mp4", [float(second) for second in range(10)])
    for place, number in enumerate([*range(1, 11), *range(15, 22)]):
        write_native("autolaparo", folder / "autolaparo", f"{number:02d}", some_labels("autolaparo", shift=place))
        write_frames("autolaparo", folder / "autolaparo", f"{number:02d}", folder / "video.mp4")
    return folder


@pytest.fixture(params=KINDS)
def model(request, folder, monkeypatch):
    monkeypatch.syspath_prepend(folder)
    return "my_encoder:Colours" if request.param == "own" else str(folder / request.param)


def test_a_clip_is_the_mean_of_its_frames(model, corpus):
    """Against the frames one by one, for the models of images."""
    encoder = load_encoder(model)
    rows = load_dataset("surglavi", "phase", data_dir=str(corpus), split="train").select(range(3))
    found = embed_clips(encoder, None, rows).embeds
    assert found.shape[0] == 3 and (found.norm(dim=1) <= 1 + 1e-6).all()
    if not hasattr(encoder.model, "get_image_features"):
        return
    for row, embed in zip(rows, found, strict=True):
        frames = row["clip"].frames(encoder.num_frames)
        single = []
        for frame in frames:
            inputs = encoder.processor.image_processor(images=frame, return_tensors="pt")
            with torch.no_grad():
                single.append(F.normalize(encoder.model.get_image_features(**inputs).pooler_output, dim=-1))
        torch.testing.assert_close(embed, torch.cat(single).mean(dim=0), rtol=0, atol=1e-5)


def test_benchmarks(model, folder, tmp_path):
    common = ["autolaparo", "--root", str(folder / "autolaparo"), "--model", model, "--output", str(tmp_path)]
    common += ["--num-workers", "1", "--batch-size", "3"]
    assert main(["evaluate", *common]) == 0
    report = EvalReport.from_json(tmp_path / "autolaparo" / "report.json")
    assert 0 <= report.metrics["accuracy_all_frames"] <= 1 and report.model["weights_sha256"]
    assert main(["probe", *common, "--percents", "50", "--seeds", "1"]) == 0
    report = EvalReport.from_json(tmp_path / "autolaparo-probe" / "report.json")
    assert 0 <= report.metrics["accuracy_all_frames_at_50_percent_mean"] <= 1


def test_clips(model, corpus, tmp_path, capsys):
    common = ["--data-dir", str(corpus), "--model", model, "--level", "phase", "--batch-size", "5"]
    assert main(["embed", *common, "--output", str(tmp_path / "e.parquet"), "--num-workers", "1"]) == 0
    rows = load_dataset("surglavi", "phase", data_dir=str(corpus), split="train")
    encoder, known = load_encoder(model), Embeddings.load(tmp_path / "e.parquet")
    clips = embed_clips(encoder, None, rows).embeds
    torch.testing.assert_close(torch.from_numpy(known.embedding).float(), clips, rtol=0, atol=1e-3)
    texts = embed_texts(encoder, None, rows["caption"][:])
    assert texts.shape == clips.shape

    split = ["--split", "train"]
    assert main(["retrieval", *common, *split, "--output", str(tmp_path / "out")]) == 0
    report = EvalReport.from_json(tmp_path / "out" / "corpus_phase_retrieval.json")
    assert report.protocol["num_frames"] == encoder.num_frames and report.model == encoder.describe()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "corpus_phase_retrieval.json",
        "corpus_phase_retrieval.md",
    ]

    assert main(["search", "the surgeon", *common, "--index", str(tmp_path / "index"), "--top", "1"]) == 0
    scores = clips @ embed_texts(encoder, None, ["the surgeon"])[0]
    assert f"1. {scores.max():.3f}" in capsys.readouterr().out
    assert json.loads((tmp_path / "index" / "index.json").read_text())["encoder"] == type(encoder).__qualname__

    prompts = list(dict.fromkeys(rows["caption"]))
    labels = [prompts.index(caption) for caption in rows["caption"]]
    report = zero_shot_clips(encoder, None, rows, prompts, labels)
    predicted = (clips @ embed_texts(encoder, None, prompts).T).argmax(dim=1)
    assert report.predictions == predicted.tolist()
    given = zero_shot_clips(encoder, None, rows.remove_columns("clip"), prompts, labels, clip_embeds=known)
    assert given.protocol["num_clips_without_embedding"] == 0 and given.protocol["num_clips"] == len(rows)
