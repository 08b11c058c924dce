# SPDX-License-Identifier: Apache-2.0
"""What a training run is told."""

import math
from dataclasses import dataclass
from typing import Literal, get_args, get_origin, get_type_hints

from huggingface_hub.utils import validate_repo_id

from ..data import CaptionOptions
from ..options import option

LevelMixing = Literal["mixed", "balanced", "one-level"]
Negatives = Literal["all", "same-text", "ancestor", "overlap", "same-video"]

# What weights and captions come from, and the setting that says which of its states.
REVISION_OF = {
    "dataset_name": "dataset_revision",
    "model_name_or_path": "model_revision",
    "vision_encoder": "vision_revision",
    "text_encoder": "text_revision",
}


@dataclass
class TrainingConfig(CaptionOptions):
    """
    Settings of [`train`], and the flags of `surglavi train`; those of [`CaptionOptions`] are among them. The recipe
    SurgCLIP was trained with is not published; defaults are those of VindLU, the code base it grew from, unless their
    text gives another reason.
    """

    data_dir: str | None = option(
        None, "Folder of the corpus: it holds surglavi_beta.db and videos/ or frames/.", metavar="DIR"
    )
    output_dir: str = option("", "Folder to write model/, checkpoints/ and metrics.jsonl to.", metavar="DIR")
    dataset_name: str | None = option(
        None,
        "Dataset of the Hub, such as me/surglavi, or its folder, instead of data_dir: rows with video_name, "
        "start_time, end_time and caption, whose videos are in video_dir. Its splits are taken as they are.",
    )
    dataset_config_name: str | None = option(None, "Config of dataset_name; by default its only or default one.")
    dataset_revision: str | None = option(None, "Commit, branch or tag of dataset_name on the Hub.")

    # The model
    model_name_or_path: str | None = option(
        None,
        "SurgCLIP folder or Hub id to start from. By default, and without the encoders below, a new, tiny SurgCLIP (1 "
        "million parameters, 48 px) with a vocabulary learned from the captions, to see that everything runs.",
    )
    vision_encoder: str | None = option(
        None, "ViT to start the video encoder from, such as google/vit-base-patch16-224; needs text_encoder."
    )
    text_encoder: str | None = option(
        None, "Text encoder to start from, such as google-bert/bert-base-uncased; needs vision_encoder."
    )
    model_revision: str | None = option(
        None, "Commit, branch or tag of model_name_or_path on the Hub. The commit is recorded, of the others, too."
    )
    vision_revision: str | None = option(None, "Commit, branch or tag of vision_encoder on the Hub.")
    text_revision: str | None = option(None, "Commit, branch or tag of text_encoder on the Hub.")
    num_frames: int | None = option(None, "Frames a clip; by default what the model has, 16 for new encoders.")
    freeze_vision_layers: int = option(
        0, "Leave the patches and so many of the first layers of the video encoder as they are; 0 trains all."
    )
    freeze_text_layers: int = option(
        0, "Leave the word embeddings and so many of the first layers of the text encoder as they are; 0 trains all."
    )
    lora_rank: int = option(
        0, "Train adapters of this rank (LoRA) and the projections, instead of the encoders; 0 trains the weights."
    )
    lora_alpha: int = option(32, "Adapters are scaled by lora_alpha / lora_rank; twice a rank of 16 is customary.")
    gradient_checkpointing: bool = option(False, "Compute activations again for the gradient: less memory, slower.")
    torch_compile: bool = option(False, "Compile the model: faster steps after a slow first one.")

    # The clips
    level: Literal["all", "task", "step", "phase"] = option("all", "Captions to train on; all, since levels nest.")
    frame_sampling: Literal["rand", "middle"] = option(
        "rand", "From each of num_frames equal parts of a clip a random frame, or the one in the middle."
    )
    min_crop_area: float = option(
        0.5, "Least share of the picture that a random crop keeps, one for all frames of a clip; 1 for no crops."
    )
    horizontal_flip: float = option(
        0.0, "Probability that a clip is mirrored. VindLU has 0.5; here 0, since captions tell left from right."
    )
    replace_unreadable: bool = option(
        True, "Train on another clip where one cannot be read, and say which: of thousands of videos some are broken."
    )
    dataloader_num_workers: int = option(0, "Processes that read clips beside each training process; 0 for none.")
    dataloader_prefetch_factor: int = option(2, "Batches each of them reads ahead; as torch has it.")

    # Batches and negatives
    per_device_train_batch_size: int = option(64, "Clips a process that are contrasted with one another.")
    mini_batch_size: int | None = option(
        None,
        "Clips a forward pass. Below per_device_train_batch_size, the gradient is put together from several passes, "
        "and is that of the whole batch (GradCache): memory of the one, negatives of the other. By default the whole.",
    )
    gradient_accumulation_steps: int = option(
        1, "Batches a step, each with negatives of its own; mini_batch_size gives more negatives in the same memory."
    )
    level_mixing: LevelMixing = option(
        "mixed", "Batches of all clips as they come, of all levels in fixed parts, or each of one level."
    )
    level_weights: list[float] = option(
        [1.0, 1.0, 1.0],
        "For task, step, phase: parts of a balanced batch; else how often an epoch has each clip.",
    )
    max_clips_per_video: int | None = option(None, "Clips of one video a batch may have; by default any number.")
    loss: Literal["infonce", "siglip"] = option("infonce", "Softmax over the batch, or a sigmoid for each pair.")
    negatives: Negatives = option(
        "all",
        "Pairs told apart: all, as everyone does; all but those of one text; but those where one clip covers half of "
        "a clip of a lower level (ancestor); but those that overlap; but those of one video. Each leaves out what "
        "those before it leave out.",
    )
    equal_text_positives: bool = option(
        False, "Draw a clip to all captions that read like its own, rather than leave them out."
    )

    # Optimization
    num_train_epochs: int = option(10, "Passes over the clips.")
    max_steps: int = option(-1, "Number of optimizer steps; if positive, overrides num_train_epochs.")
    learning_rate: float = option(1e-4, "Peak learning rate of AdamW.")
    weight_decay: float = option(0.02, "Weight decay; not applied to biases and other one-dimensional parameters.")
    warmup_ratio: float = option(0.1, "Share of the steps over which the learning rate rises from 0.")
    max_grad_norm: float = option(
        1.0,
        "Largest gradient norm; longer gradients are scaled down to it. VindLU has none; a bound keeps the first "
        "steps of new weights from throwing the temperature off.",
    )
    mixed_precision: Literal["no", "fp16", "bf16"] | None = option(
        None, "Type of most computations; by default what `accelerate config` or `accelerate launch` says."
    )
    seed: int = option(42, "Of the initial weights, the order of clips and the sampling of frames; as in releases.")

    # Checkpoints, evaluation and what is seen
    save_steps: int = option(500, "Steps between checkpoints: minutes of work lost at worst. 0 saves at the end only.")
    save_total_limit: int = option(2, "Checkpoints kept; older ones go once a newer one is whole.")
    resume: str | None = option(
        None,
        "Checkpoint folder to go on from, or auto: the newest of output_dir, and from the start if there is none.",
    )
    eval_steps: int = option(0, "Steps between evaluations on the validation split; 0 for none.")
    max_eval_clips: int = option(2000, "Clips an evaluation takes at most: minutes rather than hours.")
    report_to: list[str] = option(
        [], "Trackers that get the metrics, too, such as tensorboard, trackio or wandb. None is needed."
    )
    push_to_hub: bool = option(False, "Push model/ to the Hub at every checkpoint, while training goes on.")
    hub_model_id: str | None = option(None, "Repository to push to, such as me/surgclip; made private if it is new.")
    dry_run: bool = option(False, "Say what the run would take, from two steps that change nothing, and end.")

    def __post_init__(self):
        self.check()
        self._check_choices()
        self._check_ranges()
        for message in self._contradictions():
            raise ValueError(message)

    def _check_choices(self) -> None:
        for name in ("data_dir", "output_dir", "dataset_name"):
            value = getattr(self, name)
            if not (value and isinstance(value, str)) and (value is not None or name == "output_dir"):
                raise ValueError(f"{name}={value!r}, expected a {'name' if name == 'dataset_name' else 'folder'}")
        for name, annotation in get_type_hints(TrainingConfig).items():
            options = [part for part in (annotation, *get_args(annotation)) if get_origin(part) is Literal]
            choices = get_args(options[0]) if options else ()
            may_be_none = type(None) in get_args(annotation)
            if choices and getattr(self, name) not in (*choices, *([None] if may_be_none else [])):
                raise ValueError(f"{name}={getattr(self, name)!r}, expected one of {', '.join(choices)}")
        if self.hub_model_id is not None:
            validate_repo_id(self.hub_model_id)
            if "/" not in self.hub_model_id:
                raise ValueError(f"hub_model_id={self.hub_model_id!r}, expected NAME/REPOSITORY, such as me/surgclip")

    def _check_ranges(self) -> None:
        positive = ("num_train_epochs", "per_device_train_batch_size", "learning_rate", "max_grad_norm")
        positive += ("gradient_accumulation_steps", "dataloader_prefetch_factor", "save_total_limit", "lora_alpha")
        positive += ("mini_batch_size", "max_clips_per_video", "num_frames", "max_eval_clips")
        for name in positive:
            if getattr(self, name) is not None and not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name}={getattr(self, name)}, expected a positive number")
        counts = ("weight_decay", "dataloader_num_workers", "seed", "freeze_vision_layers", "freeze_text_layers")
        for name in (*counts, "lora_rank", "save_steps", "eval_steps"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}={getattr(self, name)}, expected a number >= 0")
        for name in ("warmup_ratio", "horizontal_flip"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)}, expected a share between 0 and 1")
        if not (self.max_steps > 0 or self.max_steps == -1):
            raise ValueError(f"max_steps={self.max_steps}, expected a positive number, or -1 for num_train_epochs")
        if not 0 < self.min_crop_area <= 1:
            raise ValueError(f"min_crop_area={self.min_crop_area}, expected a share above 0, at most 1")
        if len(self.level_weights) != 3 or not all(0 <= weight < math.inf for weight in self.level_weights):
            raise ValueError(f"level_weights={self.level_weights}, expected three numbers >= 0: task, step and phase")
        if not any(self.level_weights):
            raise ValueError("level_weights are all 0, which leaves no clips")

    def _contradictions(self) -> list[str]:
        """Returns what settings say against one another, in the order of the settings."""
        new = [name for name in ("vision_encoder", "text_encoder") if getattr(self, name)]
        given_weights = self.level_weights != [1.0, 1.0, 1.0]
        chosen = [name for name in self.chosen() if name != "video_dir"]
        wrong = {
            "data_dir and dataset_name name two sources of captions; leave one out": self.data_dir
            and self.dataset_name,
            f"{', '.join(chosen)} chooses captions of data_dir, dataset_name has rows as they are; leave it out": (
                self.dataset_name and chosen
            ),
            "dataset_name needs video_dir, the folder that holds videos/ or frames/": self.dataset_name
            and not self.video_dir,
            "dataset_config_name without dataset_name says nothing; give both, or neither": self.dataset_config_name
            and not self.dataset_name,
            "model_name_or_path and vision_encoder name two starting points; leave one out": self.model_name_or_path
            and new,
            "vision_encoder and text_encoder belong together; give both": len(new) == 1,
            f"level_mixing={self.level_mixing} needs all levels, level={self.level} leaves one; leave out either": (
                self.level != "all" and self.level_mixing != "mixed"
            ),
            f"level_weights weigh all levels, level={self.level} leaves one; leave out either": self.level != "all"
            and given_weights,
            "equal_text_positives makes pairs positive that negatives=all makes negative; choose other negatives": (
                self.equal_text_positives and self.negatives == "all"
            ),
            "mini_batch_size is larger than per_device_train_batch_size; lower it, or leave it out": (
                (self.mini_batch_size or 0) > self.per_device_train_batch_size
            ),
            "eval_steps needs a validation split; give validation_fraction": self.eval_steps
            and self.data_dir
            and not self.validation_fraction,
            "push_to_hub needs hub_model_id, such as me/surgclip": self.push_to_hub and not self.hub_model_id,
            "hub_model_id without push_to_hub pushes nothing; give both": self.hub_model_id and not self.push_to_hub,
            "lora_rank trains no layers, so freezing some says nothing; leave out either": self.lora_rank
            and (self.freeze_vision_layers or self.freeze_text_layers),
        }
        for name, revision in REVISION_OF.items():
            wrong[f"{revision} without {name} says nothing; give both, or neither"] = getattr(
                self, revision
            ) and not getattr(self, name)
        return [message for message, holds in wrong.items() if holds]
