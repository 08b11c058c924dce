# SPDX-License-Identifier: Apache-2.0
"""Settings that change what is trained: each learns, is resumed to the bit, and leaves a SurgCLIP folder."""

import json
import math
import resource
import shutil
import sys
from importlib import import_module
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModel

from surglavi_hf import TrainingConfig, training
from surglavi_hf.data.trained_on import TrainedOn
from surglavi_hf.training.run import TrainingRun, peak_memory
from surglavi_hf.training.start import new_tiny_model

from .conftest import metrics_of

WAYS = {
    "lora": {"lora_rank": 4},
    "siglip": {"loss": "siglip", "negatives": "overlap"},
    "frozen": {"freeze_vision_layers": 2, "freeze_text_layers": 1, "gradient_checkpointing": True},
    "bf16": {"mixed_precision": "bf16", "mini_batch_size": 3},
    "balanced": {
        "level": "all",
        "level_mixing": "balanced",
        "max_clips_per_video": 4,
        "gradient_accumulation_steps": 2,
    },
    "one level": {"level": "all", "level_mixing": "one-level", "negatives": "same-text", "equal_text_positives": True},
}


@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
def test_every_way_is_resumed_to_the_bit(stored_corpus, dropout_model, start_run, tmp_path, options):
    settings = {
        **{"data_dir": str(stored_corpus), "output_dir": str(tmp_path / "run"), "level": "phase", "max_steps": 4},
        **{"per_device_train_batch_size": 8, "save_steps": 2, "learning_rate": 1e-3, "warmup_ratio": 0.25},
        **{"model_name_or_path": str(dropout_model), **options},
    }

    def finish(**more) -> list[tuple]:
        process = start_run(**{**settings, **more})
        process.join()
        assert process.exitcode == 0
        names = ("loss", "grad_norm", "temperature")
        return [tuple(line[name] for name in names) for line in metrics_of(tmp_path / "run")]

    whole = finish()
    assert len(whole) == 4 and all(map(math.isfinite, whole[-1]))
    weights = AutoModel.from_pretrained(tmp_path / "run" / "model").state_dict()
    start = AutoModel.from_pretrained(dropout_model).state_dict()
    assert set(weights) == set(start) and any(not torch.equal(weights[name], start[name]) for name in start)
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step-00000004")
    assert finish(resume="auto") == whole
    again = AutoModel.from_pretrained(tmp_path / "run" / "model").state_dict()
    assert all(torch.equal(again[name], value) for name, value in weights.items())


def test_fewer_frames_than_the_model_had(stored_corpus, dropout_model, tmp_path):
    """A model is asked for fewer frames than it had; its processor then says so, and is saved so."""
    config = TrainingConfig(
        str(stored_corpus),
        str(tmp_path),
        model_name_or_path=str(dropout_model),
        num_frames=2,
        per_device_train_batch_size=4,
        max_steps=1,
    )
    run = TrainingRun(config)
    (batch,) = run.fetch()
    assert batch["pixel_values"].shape[:2] == (4, 2) and run.processor.video_processor.num_frames == 2


def test_videos_of_the_model_it_starts_from_count(stored_corpus, dropout_model, tmp_path):
    """And where that does not say, nobody can know."""
    start = tmp_path / "start"
    shutil.copytree(dropout_model, start)

    def trained_on() -> TrainedOn:
        settings = {"model_name_or_path": str(start), "test_fraction": 0.2, "per_device_train_batch_size": 4}
        return TrainingRun(TrainingConfig(str(stored_corpus), str(tmp_path), **settings)).trained_on

    own = trained_on()
    assert len(own.videos) == 6
    assert own.unknown == "a model it started from does not say which videos it was trained on"
    (start / "training.json").write_text(json.dumps({"trained_on": ["0" * 16, min(own.videos)]}))
    assert trained_on() == TrainedOn(own.videos | {"0" * 16})
    (start / "training.json").write_text(json.dumps(own.recorded()))
    assert trained_on() == own


def test_memory_is_in_gigabytes_whatever_the_system_counts_in(monkeypatch):
    """Kilobytes on Linux, bytes on macOS."""
    usage = SimpleNamespace(ru_maxrss=3_000_000)
    monkeypatch.setattr(resource, "getrusage", lambda who: usage)
    for system, expected in (("linux", 3.072), ("darwin", 0.003)):
        monkeypatch.setattr(sys, "platform", system)
        assert peak_memory(torch.device("cpu")) == pytest.approx(expected)


def test_windows_is_refused_in_one_line(tmp_path, monkeypatch, capsys):
    """Which has no module `resource`."""
    monkeypatch.setattr(training, "run", training.run)  # put back, as the modules are
    monkeypatch.delitem(sys.modules, "surglavi_hf.training.run")
    monkeypatch.setitem(sys.modules, "resource", None)
    again = import_module("surglavi_hf.training.run")
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(OSError, match="training runs on Linux and macOS, this is Windows; use the Windows Subsystem"):
        again.TrainingRun(TrainingConfig("in", str(tmp_path / "out")))
    assert not list(tmp_path.iterdir())


def test_one_clip_has_no_negative(stored_corpus, tmp_path):
    with pytest.raises(ValueError, match="a global batch of 1 clip has no negative; raise per_device"):
        TrainingRun(TrainingConfig(str(stored_corpus), str(tmp_path), per_device_train_batch_size=1))


@pytest.fixture
def ready(stored_corpus, dropout_model, tmp_path):
    """Makes a run ready that learns from its first step on."""

    def make(**settings) -> TrainingRun:
        settings = {"per_device_train_batch_size": 4, "warmup_ratio": 0.0, "level": "phase", **settings}
        settings = {"model_name_or_path": str(dropout_model), "max_steps": 9, **settings}
        return TrainingRun(TrainingConfig(str(stored_corpus), str(tmp_path), **settings))

    return make


def weights(run: TrainingRun) -> list[torch.Tensor]:
    return [value.detach().clone() for value in run.model.parameters()]


def assert_skipped(run: TrainingRun, reason: str) -> None:
    """A step that changes nothing and says why; and that leaves nothing behind for the next."""
    before = weights(run)
    metrics = run.update(run.fetch())
    assert metrics["skipped"] == reason and len(metrics["skipped_captions"]) == 4
    assert all(torch.equal(one, two) for one, two in zip(before, weights(run), strict=True))
    assert run.step == 1 and not run.optimizer.optimizer.state


def assert_learns(run: TrainingRun) -> None:
    before = weights(run)
    metrics = run.update(run.fetch())
    assert "skipped" not in metrics and math.isfinite(metrics["grad_norm"])
    assert not all(torch.equal(one, two) for one, two in zip(before, weights(run), strict=True))


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_is_not_applied(ready, wrong):
    """Though the loss is."""
    run = ready()
    hook = run.model.model.vision_proj.weight.register_hook(lambda gradient: gradient * wrong)
    assert_skipped(run, "the gradient is not finite")
    hook.remove()
    assert_learns(run)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_not_applied(ready, wrong):
    """Though its gradient is."""
    run = ready()
    loss_function = run.loss_function

    def off(*arguments):
        output = loss_function(*arguments)
        return output._replace(loss=output.loss + wrong)

    run.loss_function = off
    assert_skipped(run, "the loss is not finite")
    run.loss_function = loss_function
    assert_learns(run)


def test_the_temperature_stays_within_its_bounds(stored_corpus, tmp_path):
    model, processor = new_tiny_model(["The surgeon clips the cystic duct."])
    with torch.no_grad():
        model.temp.fill_(0.5)
    model.save_pretrained(tmp_path / "start")
    processor.save_pretrained(tmp_path / "start")
    run = TrainingRun(
        TrainingConfig(
            *(str(stored_corpus), str(tmp_path)),
            **{"model_name_or_path": str(tmp_path / "start"), "per_device_train_batch_size": 4, "max_steps": 3},
            **{"learning_rate": 5.0, "warmup_ratio": 0.0},
        )
    )
    found = [run.update(run.fetch())["temperature"] for _ in range(3)]
    assert all(0.001 <= value <= 0.5 for value in found) and found[-1] in (pytest.approx(0.001), pytest.approx(0.5))
