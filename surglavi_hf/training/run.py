# SPDX-License-Identifier: Apache-2.0
"""A run made ready: its model, optimizer, clips and position."""

import math
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import DistributedType, set_seed
from datasets import Dataset
from torch.distributed.tensor import DTensor

from ..data import CorpusInfo, read_corpus_info
from ..data.trained_on import TrainedOn, read_trained_on, trained_on_of, video_keys
from ..surgclip import SurgCLIPModel, SurgCLIPProcessor
from .accelerator import check_agreement, make_accelerator
from .config import TrainingConfig
from .contrastive_model import ContrastiveModel, to_surgclip
from .epochs import EpochLoader, workers_may_fail
from .loss import ContrastiveLoss, SigLIPLoss
from .negatives import clip_keys
from .parameters import add_adapters, freeze_layers, make_optimizer
from .resume import describe_run
from .rows import fingerprint, load_rows, rows_of
from .schedule import learning_rate_at
from .start import start, start_from, with_commits
from .update import add_gradient

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.001, 0.5  # VindLU's bounds
MIN_LR_RATE = 0.01  # VindLU's floor of the cosine, as a share of the peak


class TrainingRun:
    """
    Everything of a run that changes from step to step, prepared for its processes. Every process must make one and
    call its methods together.

    Args:
        config: Of the run.
        dataset, validation_dataset, model, processor: As [`train`] takes them.

    Raises:
        FileNotFoundError: no database in `data_dir`, or none of its videos on disk.
        ImportError: a package that a setting needs is not installed.
        OSError: the system is Windows.
        ValueError: a setting does not fit the model or the clips.
    """

    def __init__(
        self,
        config: TrainingConfig,
        dataset: Dataset | None = None,
        validation_dataset: Dataset | None = None,
        model: SurgCLIPModel | None = None,
        processor: SurgCLIPProcessor | None = None,
    ):
        if sys.platform == "win32":
            # No SIGCHLD, by which a dead worker is noticed, and no folders that can be flushed.
            raise OSError("training runs on Linux and macOS, this is Windows; use the Windows Subsystem for Linux")
        for message in _contradictions(config, dataset, validation_dataset, model, processor):
            raise ValueError(message)
        self.accelerator = accelerator = make_accelerator(config)
        check_agreement(accelerator, config)
        self.config = config = with_commits(config)
        check_agreement(accelerator, config)  # the Hub may have changed in between
        if self.global_batch_size < 2:
            raise ValueError("a global batch of 1 clip has no negative; raise per_device_train_batch_size")
        set_seed(config.seed)
        with accelerator.local_main_process_first():
            if dataset is None:
                self.dataset = load_rows(config, "train")
            else:
                self.dataset = rows_of(dataset, "the dataset", config.level)
            self.validation = _validation_clips(config, validation_dataset) if config.eval_steps else None
        self.trained_on = _trained_on(config, self.dataset, model)
        self.corpus = _corpus(config)
        if model is not None:
            model, self.processor = start_from(model, processor, config.num_frames)
        else:
            encoders = (config.vision_encoder, config.text_encoder) if config.vision_encoder else None
            model, self.processor = start(
                *(config.model_name_or_path, encoders, config.num_frames, self.dataset["caption"]),
                *(config.model_revision, (config.vision_revision, config.text_revision)),
            )
        self.surgclip_config = model.config
        freeze_layers(model, config.freeze_vision_layers, config.freeze_text_layers)
        if config.lora_rank:
            add_adapters(model, config.lora_rank, config.lora_alpha)
        if config.gradient_checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})
        set_seed(config.seed, device_specific=True)  # from here on for dropout, which must differ between processes
        self.loader = EpochLoader(
            config, self.dataset, self.processor, accelerator.num_processes, accelerator.process_index
        )
        loss_class = {"infonce": ContrastiveLoss, "siglip": SigLIPLoss}[config.loss]
        self.loss_function = loss_class(config.negatives, config.equal_text_positives)
        self.max_steps = self._count_steps()
        trained = ContrastiveModel(model, learn_bias=config.loss == "siglip")
        if config.torch_compile:
            trained.compile()
        self.model, self.optimizer = accelerator.prepare(
            trained, make_optimizer(trained, config.learning_rate, config.weight_decay)
        )
        self.model.train()
        self.step = self.epoch = self.batch = 0
        self._iterator: Iterator[dict[str, torch.Tensor]] | None = None

    @property
    def global_batch_size(self) -> int:
        return self.config.per_device_train_batch_size * self.accelerator.num_processes

    def describe(self) -> dict[str, Any]:
        """What the course of the run depends on."""
        distributed = str(self.accelerator.distributed_type.value)
        # One process, or several with copies of the model, compute the same.
        distributed = distributed if distributed in ("FSDP", "DEEPSPEED") else "data parallel"
        data = f"{len(self.dataset)}, sha256 {fingerprint(self.dataset)[:16]}"
        description = describe_run(self.config, self.accelerator.num_processes, distributed, data)
        return {**description, "mixed_precision": self.accelerator.mixed_precision}  # the launcher may say it

    def position(self) -> dict[str, int]:
        """Where in the data the run is: the next batch is number `batch` of `epoch`."""
        return {"epoch": self.epoch, "batch": self.batch}

    def go_to(self, step: int, epoch: int, batch: int) -> None:
        self.step, self.epoch, self.batch, self._iterator = step, epoch, batch, None

    def _steps_of(self, epoch: int) -> int:
        return self.loader.num_batches(epoch) // self.config.gradient_accumulation_steps

    def _count_steps(self) -> int:
        if not self._steps_of(0):
            raise ValueError(
                f"gradient_accumulation_steps={self.config.gradient_accumulation_steps}, more than the "
                f"{self.loader.num_batches(0)} batches of an epoch; lower it"
            )
        if self.config.max_steps > 0:
            return self.config.max_steps
        return sum(self._steps_of(epoch) for epoch in range(self.config.num_train_epochs))

    def fetch(self) -> list[dict[str, torch.Tensor]]:
        """
        Returns this process's part of the batches of the next step.

        Raises:
            OSError, RuntimeError, ValueError, VideoDecodeError: a batch cannot be read, or a worker died.
        """
        count = self.config.gradient_accumulation_steps
        while self.batch + count > self._steps_of(self.epoch) * count:
            self.epoch, self.batch, self._iterator = self.epoch + 1, 0, None
        if self._iterator is None:
            self._iterator = self.loader.load(self.epoch, self.batch)
        try:
            with workers_may_fail():
                return [next(self._iterator) for _ in range(count)]
        except (EOFError, ConnectionError) as error:  # its end of a pipe
            raise RuntimeError("a DataLoader worker died; if memory is short, lower dataloader_num_workers") from error

    def end_workers(self) -> None:
        """Ends the loader's processes, which leave signals to the run; leaving Python would wait for them."""
        if self.config.dataloader_num_workers and self._iterator is not None:
            self._iterator._shutdown_workers()

    def update(self, batches: list[dict[str, torch.Tensor]]) -> dict[str, Any]:
        """
        Makes one step with what [`fetch`] returned. It is skipped, on all processes, where the loss or the gradient is
        not finite.

        Returns:
            `epoch`, `loss`, `learning_rate`, `temperature`, `grad_norm`; `rows_without_negative` where there are any;
            `skipped`, the reason, and `skipped_captions`, the ids of the global batch, of a step that was skipped;
            `replaced`, the ids of captions whose clip could not be read.
        """
        rate = self._learning_rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = torch.zeros((), device=self.accelerator.device)
        left_out = loss.clone()
        for batch in batches:
            with self.accelerator.accumulate(self.model):
                output = add_gradient(
                    *(self.accelerator, self.model, self.loss_function, batch, clip_keys(batch)),
                    mini_batch_size=self.config.mini_batch_size,
                )
            loss, left_out = loss + output.loss / len(batches), left_out + output.rows_without_negative
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.max_grad_norm)
        norm = math.nan if norm is None else float(norm.full_tensor() if isinstance(norm, DTensor) else norm)
        loss = float(self.accelerator.gather(loss.reshape(1)).mean())
        metrics = {"epoch": self.epoch, "loss": loss, "learning_rate": rate, "grad_norm": norm}
        if left_out:
            metrics["rows_without_negative"] = int(left_out)
        reason = self._apply(loss, norm)
        if reason:
            batches_of_step = slice(self.batch, self.batch + len(batches))
            ids = self.loader.caption_ids(self.epoch, batches_of_step)
            metrics |= {"skipped": reason, "skipped_captions": list(ids)}
        metrics["temperature"] = self._clamp_temperature()
        metrics["replaced"] = [number for batch in batches for number in self._replaced(batch)]
        self.step, self.batch = self.step + 1, self.batch + len(batches)
        return metrics

    def _learning_rate(self) -> float:
        peak = self.config.learning_rate
        warmup = math.ceil(self.config.warmup_ratio * self.max_steps)
        return learning_rate_at(self.step, self.max_steps, warmup, peak, peak * MIN_LR_RATE)

    def _apply(self, loss: float, norm: float) -> str | None:
        """Lets the optimizer make its step; returns why it did not."""
        deepspeed = self.accelerator.distributed_type == DistributedType.DEEPSPEED  # whose backward makes the step
        finite = math.isfinite(loss) and (deepspeed or math.isfinite(norm))
        # The scaler of fp16 skips by itself, and has to see what it skips.
        if finite or self.accelerator.scaler is not None:
            self.optimizer.step()
        self.optimizer.zero_grad()
        if not finite:
            return f"the {'gradient' if math.isfinite(loss) else 'loss'} is not finite"
        return "the gradient overflowed fp16" if self.optimizer.step_was_skipped else None

    @torch.no_grad()
    def _clamp_temperature(self) -> float:
        temperature = self.accelerator.unwrap_model(self.model).model.temp
        temperature.clamp_(MIN_TEMPERATURE, MAX_TEMPERATURE)
        return float(temperature.full_tensor() if isinstance(temperature, DTensor) else temperature)

    def _replaced(self, batch: dict[str, torch.Tensor]) -> list[int]:
        """Returns the ids of captions of the global batch that were replaced because their clip cannot be read."""
        if "asked_caption_id" not in batch:
            return []
        ids = torch.stack([batch["asked_caption_id"], batch["caption_id"]], dim=1).to(self.accelerator.device)
        asked, used = self.accelerator.gather(ids).unbind(dim=1)
        return asked[asked != used].tolist()

    def validate(self) -> dict[str, float]:
        """Returns figures of the validation split, as [`validate`]."""
        from .evaluate import validate  # with scikit-learn, which training does without

        return validate(self.accelerator, self.model, self.processor, self.validation)

    def model_now(self) -> SurgCLIPModel | None:
        """Returns the SurgCLIP model as it is now, on the main process; None on others."""
        state = self.accelerator.get_state_dict(self.model)
        if not self.accelerator.is_main_process:
            return None
        return to_surgclip(self.surgclip_config, state, self.config.lora_rank, self.config.lora_alpha)


def _contradictions(config: TrainingConfig, dataset: Any, validation: Any, model: Any, processor: Any) -> list[str]:
    """Returns what arguments of [`train`] say against its settings."""
    source = "data_dir" if config.data_dir else "dataset_name" if config.dataset_name else None
    start = next((name for name in ("model_name_or_path", "vision_encoder") if getattr(config, name)), None)
    wrong = {
        "there is nothing to train on; give data_dir, dataset_name, or a dataset": dataset is None and not source,
        f"dataset and {source} name two sources of captions; leave one out": dataset is not None and source,
        f"{', '.join(config.chosen())} chooses captions of data_dir, a dataset has rows as they are; leave it out": (
            dataset is not None and config.chosen()
        ),
        "eval_steps needs a validation split; give validation_dataset": (
            dataset is not None and config.eval_steps and validation is None
        ),
        "validation_dataset goes with dataset; give both, or neither": validation is not None and dataset is None,
        "validation_dataset without eval_steps is never looked at; give both": (
            validation is not None and not config.eval_steps
        ),
        "model and processor belong together; give both": (model is None) != (processor is None),
        f"model and {start} name two starting points; leave one out": model is not None and start,
    }
    return [message for message, holds in wrong.items() if holds]


def _validation_clips(config: TrainingConfig, given: Dataset | None) -> Dataset:
    """The validation split, or clips spread over it where it has more than an evaluation takes."""
    if find_spec("sklearn") is None:
        raise ImportError("eval_steps needs scikit-learn; pip install scikit-learn, or leave eval_steps out")
    where = "validation_dataset"
    dataset = load_rows(config, "validation") if given is None else rows_of(given, where, config.level)
    count = min(len(dataset), config.max_eval_clips)
    return dataset.select([number * len(dataset) // count for number in range(count)])


def _corpus(config: TrainingConfig) -> CorpusInfo | None:
    """What is trained on, for cards; None of SurgLaVi."""
    if config.data_dir:
        return read_corpus_info(config.data_dir)
    if config.dataset_name:
        return CorpusInfo(Path(config.dataset_name).name, f"Clips and captions of the dataset {config.dataset_name}.")
    return CorpusInfo("a dataset of its own", "Clips and captions that whoever trained it gave.")


def _trained_on(config: TrainingConfig, dataset: Dataset, model: SurgCLIPModel | None) -> TrainedOn:
    """The videos of this run, and those of the SurgCLIP it starts from."""
    names = list(dataset["video_name"])
    has_ids = getattr(dataset.features.get("youtube_id"), "dtype", None) == "string"
    own = video_keys(zip(dataset["youtube_id"] if has_ids else [None] * len(names), names, strict=True))
    if model is not None:
        before = trained_on_of(model)
    elif config.model_name_or_path is None:
        return TrainedOn(frozenset(own))
    else:
        before = read_trained_on(config.model_name_or_path, config.model_revision)
    unknown = before.unknown and "a model it started from does not say which videos it was trained on"
    return TrainedOn(before.videos | own, unknown)


def peak_memory(device: torch.device) -> float:
    """Returns the most memory that this process has used so far in GB: of the GPU where it has one."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    import resource  # which Windows has not

    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
