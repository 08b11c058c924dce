# SPDX-License-Identifier: Apache-2.0
from dataclasses import fields

import pytest

from surglavi_hf import TrainingConfig


@pytest.mark.parametrize(
    "options",
    [
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"per_device_train_batch_size": 0},
        {"num_train_epochs": -1},
        {"weight_decay": -0.1},
        {"warmup_ratio": 1.5},
        {"max_grad_norm": 0.0},
        {"seed": -1},
        {"min_crop_area": 0.0},
        {"horizontal_flip": 2},
        {"mini_batch_size": 0},
        {"max_clips_per_video": -3},
        {"level_weights": [1.0, 1.0]},
        {"level_weights": [1.0, -1.0, 1.0]},
        {"save_steps": -1},
        {"lora_rank": -2},
        {"max_steps": 0},
        {"negatives": "overlaps"},
        {"level_mixing": "one_level"},
        {"mixed_precision": "bf15"},
    ],
)
def test_settings_out_of_range_are_named(options):
    with pytest.raises(ValueError, match=f"^{next(iter(options))}="):
        TrainingConfig(data_dir="in", output_dir="out", **options)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"model_name_or_path": "a", "vision_encoder": "b", "text_encoder": "c"}, "name two starting points"),
        ({"vision_encoder": "b"}, "vision_encoder and text_encoder belong together"),
        (
            {"level": "task", "level_mixing": "balanced"},
            "level_mixing=balanced needs all levels, level=task leaves one",
        ),
        ({"level": "task", "level_weights": [1.0, 2.0, 1.0]}, "level_weights weigh all levels"),
        ({"equal_text_positives": True}, "equal_text_positives makes pairs positive that negatives=all"),
        ({"mini_batch_size": 65}, "mini_batch_size is larger than per_device_train_batch_size"),
        ({"dataset_name": "me/x", "video_dir": "v"}, "data_dir and dataset_name name two sources of captions"),
        ({"data_dir": None, "dataset_name": "me/x"}, "dataset_name needs video_dir"),
        (
            {"data_dir": None, "dataset_name": "me/x", "video_dir": "v", "deduplicate": True},
            "deduplicate chooses captions of data_dir, dataset_name has rows as they are",
        ),
        ({"dataset_config_name": "phase"}, "dataset_config_name without dataset_name says nothing"),
        ({"dataset_revision": "v1"}, "dataset_revision without dataset_name says nothing"),
        ({"eval_steps": 5}, "eval_steps needs a validation split"),
        ({"push_to_hub": True}, "push_to_hub needs hub_model_id"),
        ({"hub_model_id": "me/x"}, "hub_model_id without push_to_hub"),
        ({"model_revision": "v1"}, "model_revision without model_name_or_path says nothing; give both"),
        ({"lora_rank": 8, "freeze_text_layers": 1}, "lora_rank trains no layers"),
        ({"level_weights": [0.0, 0.0, 0.0]}, "level_weights are all 0"),
    ],
)
def test_contradictions_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**{"data_dir": "in", "output_dir": "out", **options})


def test_every_setting_says_what_it_is():
    for item in fields(TrainingConfig):
        assert len(item.metadata["help"]) > 20 and item.metadata["help"].endswith("."), item.name
