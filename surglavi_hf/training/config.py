# SPDX-License-Identifier: Apache-2.0
"""What a training run is told."""

from dataclasses import dataclass, field


def _option(default, help: str):
    return field(default=default, metadata={"help": help})


@dataclass
class TrainingConfig:
    """
    Settings of [`train`], and the flags of `python -m surglavi_hf.training`. The recipe SurgCLIP was trained with is
    not published; defaults are those of VindLU, the code base it grew from, unless a comment says otherwise.
    """

    data_dir: str = field(metadata={"help": "Folder that holds surglavi_beta.db and videos/."})
    output_dir: str = field(metadata={"help": "Folder to write metrics.jsonl and model/ to."})
    model_name_or_path: str | None = _option(
        None,
        "SurgCLIP folder or Hub id to start from. By default a new, tiny SurgCLIP (1 million parameters, 48 px) with "
        "a vocabulary learned from the training captions, to see that everything runs.",
    )
    level: str = _option("all", "Captions to train on: task, step, phase or all.")
    validation_fraction: float = _option(0.0, "Share of the videos kept out of training for validation.")
    test_fraction: float = _option(0.0, "Share of the videos kept out of training for testing.")
    num_train_epochs: int = _option(10, "Passes over the clips.")
    max_steps: int = _option(-1, "Number of optimizer steps; if positive, overrides num_train_epochs.")
    per_device_train_batch_size: int = _option(64, "Clips a process and step.")
    learning_rate: float = _option(1e-4, "Peak learning rate of AdamW.")
    weight_decay: float = _option(0.02, "Weight decay; not applied to biases and other one-dimensional parameters.")
    warmup_ratio: float = _option(0.1, "Share of the steps over which the learning rate rises from 0.")
    # VindLU does not clip. A bound keeps the first steps from random weights from throwing the temperature off.
    max_grad_norm: float = _option(1.0, "Largest gradient norm; longer gradients are scaled down to it.")
    dataloader_num_workers: int = _option(0, "Processes that decode clips beside each training process.")
    replace_unreadable: bool = _option(
        True, "Train on another clip where one cannot be read, and say which; otherwise the run ends with an error."
    )
    seed: int = _option(42, "Of the initial weights, the order of clips and the sampling of frames.")

    def __post_init__(self):
        for name in ("num_train_epochs", "per_device_train_batch_size", "learning_rate", "max_grad_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)}, expected a positive number")
        for name in ("weight_decay", "dataloader_num_workers", "seed"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}={getattr(self, name)}, expected a number >= 0")
        if not 0 <= self.warmup_ratio <= 1:
            raise ValueError(f"warmup_ratio={self.warmup_ratio}, expected a share between 0 and 1")
