# SPDX-License-Identifier: Apache-2.0
"""The whole road on a small corpus of drawn procedures: database, table, clips, training, reload, evaluation."""

import json
import multiprocessing
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

import torch
from datasets import Dataset, load_dataset
from rich.console import Console
from rich.table import Table

from ..data import Level
from ..evaluation import EmbeddingOptions, EvalReport, embed_clips, embed_texts, retrieval, zero_shot_clips
from ..evaluation.figures import draw_predictions
from ..files import write_text
from ..interrupts import interrupts_for_us_alone
from ..media import FrameStoreOptions, VideoLibrary, build_frame_stores
from ..surgclip import load_processor, load_whole
from ..training import TrainingConfig, train
from .benchmark import write_benchmark
from .corpus import PHASE_CAPTION, STEP_CAPTION, TASK_CAPTIONS, TEST_FRACTION, write_corpus
from .drawing import ACTIONS, FPS, INSTRUMENTS, MOTION_PAIR, SIZE, TISSUES

MARKER = ".surglavi-demo"  # marks a folder the demo made and may make anew
CLIPS_SHOWN = 8
TRAIN_STEPS = 800

MEANINGS = {
    TASK_CAPTIONS[action].format(tissue=tissue, instrument=instrument): (tissue, instrument, action)
    for tissue, instrument, action in product(TISSUES, INSTRUMENTS, ACTIONS)
}
# Every caption the corpus can have, by level: the classes of the zero-shot evaluation.
PROMPTS = {
    "task": list(MEANINGS),
    "step": [STEP_CAPTION.format(tissue=tissue, instrument=tool) for tissue, tool in product(TISSUES, INSTRUMENTS)],
    "phase": [PHASE_CAPTION.format(tissue=tissue) for tissue in TISSUES],
}


def run_demo(output: str | Path, seed: int = 0) -> dict:
    """
    Walks the road in the folder `output`: writes the corpus to `corpus/` and a benchmark to `benchmark/`, trains a
    tiny SurgCLIP into `training/`, evaluates it in a new process on videos it never saw, prints a table, and writes
    `summary.json` and `report.png`.
    A folder of an earlier demo is made anew.

    Args:
        output: New or empty folder, or one of an earlier demo.
        seed: Of the drawings, the initial weights and the order of training.

    Returns:
        What `summary.json` holds.

    Raises:
        FileExistsError: `output` has files that are not the demo's.
    """
    started = time.perf_counter()
    output = Path(output)
    _claim(output)
    data_dir = write_corpus(output / "corpus", seed)
    write_benchmark(output / "benchmark", seed)
    # Every frame as it is: training reads each clip a dozen times, and decodes no video for it.
    build_frame_stores(VideoLibrary(data_dir), FrameStoreOptions(fps=FPS, short_side=SIZE))
    table = load_dataset("surglavi", data_dir=str(data_dir), test_fraction=TEST_FRACTION)
    _print_table(table)
    model_dir = train(
        TrainingConfig(
            data_dir=str(data_dir),
            output_dir=str(output / "training"),
            test_fraction=TEST_FRACTION,
            max_steps=TRAIN_STEPS,
            per_device_train_batch_size=32,
            learning_rate=1.5e-3,
            min_crop_area=1.0,  # a tool at the edge is what a caption tells of
            seed=seed,
        )
    )
    # A new process: nothing but the saved folder links the evaluation to the training.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        with interrupts_for_us_alone():
            evaluation = pool.submit(evaluate_model, str(model_dir), str(data_dir), str(output))
        try:
            reports = evaluation.result()
        except BaseException:
            for process in multiprocessing.active_children():  # which the pool would wait for
                process.terminate()
            raise
    summary = summarize(reports)
    summary["seed"] = seed
    summary["seconds"] = round(time.perf_counter() - started, 1)
    write_text(output / "summary.json", json.dumps(summary, indent=2) + "\n")
    _print_summary(summary, output)
    return summary


def _claim(output: Path) -> None:
    """Makes the folder, or empties it where an earlier demo made it."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        if not (output / MARKER).is_file():
            raise FileExistsError(f"{output} has files that are not the demo's; name a new folder with --output")
        for name in ("benchmark", "corpus", "training"):
            shutil.rmtree(output / name, ignore_errors=True)
        for name in ("summary.json", "report.png"):
            (output / name).unlink(missing_ok=True)
    output.mkdir(parents=True, exist_ok=True)
    (output / MARKER).touch()


def evaluate_model(model_dir: str, data_dir: str, output: str) -> dict[str, EvalReport]:
    """
    Evaluates the model saved in `model_dir` on the test videos, draws `report.png` into `output`, and returns a report
    for each level, for the motion pair, for the combinations training never saw, and for retrieval.
    """
    model, processor = load_whole(model_dir), load_processor(model_dir)
    table = load_dataset("surglavi", data_dir=data_dir, test_fraction=TEST_FRACTION)
    test, train_captions = table["test"], set(table["train"]["caption"])
    embeds = embed_clips(model, processor, test, EmbeddingOptions(strict=True)).embeds
    captions, levels = list(test["caption"]), test["level"]

    def classify(rows: list[int], prompts: list[str], name: str) -> EvalReport:
        labels = [prompts.index(captions[row]) for row in rows]
        return zero_shot_clips(model, processor, test.select(rows), prompts, labels, name, clip_embeds=embeds[rows])

    rows_of = {level.name.lower(): [row for row, value in enumerate(levels) if value == level - 1] for level in Level}
    tasks = rows_of["task"]
    reports = {name: classify(rows, PROMPTS[name], name) for name, rows in rows_of.items()}
    unseen = [row for row in tasks if captions[row] not in train_captions]
    reports["unseen_combinations"] = classify(unseen, PROMPTS["task"], "unseen_combinations")
    reports["motion_pair"] = _classify_motion(model, processor, captions, embeds, tasks)
    reports["retrieval"] = retrieval(
        model, processor, test.select(tasks), benchmark="retrieval", clip_embeds=embeds[tasks]
    )
    for name, report in reports.items():
        report.to_json(Path(output) / "training" / f"eval-{name}.json")
    _draw(test.select(tasks), reports["task"], Path(output) / "report.png")
    return reports


def _classify_motion(model, processor, captions: list[str], embeds: torch.Tensor, tasks: list[int]) -> EvalReport:
    """Which of the two captions of the motion pair, for the right tissue and instrument, fits a clip better?"""
    started = time.perf_counter()
    rows = [row for row in tasks if MEANINGS[captions[row]][2] in MOTION_PAIR]
    pairs = []
    for row in rows:
        tissue, instrument, _ = MEANINGS[captions[row]]
        pairs += [TASK_CAPTIONS[action].format(tissue=tissue, instrument=instrument) for action in MOTION_PAIR]
    text_embeds = embed_texts(model, processor, pairs).unflatten(0, (-1, 2))  # (N, 2, D)
    predictions = (text_embeds @ embeds[rows].unsqueeze(2)).squeeze(2).argmax(dim=1).tolist()
    labels = [MOTION_PAIR.index(MEANINGS[captions[row]][2]) for row in rows]
    correct = sum(prediction == label for prediction, label in zip(predictions, labels, strict=True))
    return EvalReport(
        benchmark="motion_pair",
        metrics={"accuracy": correct / len(rows), "chance": 0.5},
        protocol={"num_clips": len(rows), "num_classes": 2, "frame_sampling": "middle"},
        predictions=predictions,
        seconds=time.perf_counter() - started,
    )


def _draw(tasks: Dataset, report: EvalReport, path: Path) -> None:
    """Draws clips spread over the test videos and over the length of a video."""
    shown = [number * (len(tasks) - 1) // (CLIPS_SHOWN - 1) for number in range(CLIPS_SHOWN)]
    draw_predictions(tasks.select(shown), [PROMPTS["task"][report.predictions[row]] for row in shown], path)


def summarize(reports: dict[str, EvalReport]) -> dict:
    """Returns the figures of `summary.json`."""

    def figures(name: str) -> dict:
        return {key: reports[name].metrics[key] for key in ("accuracy", "chance")}

    ranks = reports["retrieval"].metrics
    return {
        "levels": {level: figures(level) for level in PROMPTS},
        "motion_pair": figures("motion_pair"),
        "unseen_combinations": figures("unseen_combinations"),
        "retrieval": {"recall_at_1": ranks["text_to_video_R@1"], "chance": ranks["text_to_video_R@1_chance"]},
    }


def _print_table(table: dict[str, Dataset]) -> None:
    view = Table(title="SurgLaVi look-alike")
    view.add_column("split")
    for name in ("videos", "clips", *PROMPTS):
        view.add_column(name, justify="right")
    for split, rows in table.items():
        levels = rows.features["level"].int2str(rows["level"])
        counts = [len(set(rows["video_id"])), len(rows), *(levels.count(name) for name in PROMPTS)]
        view.add_row(split, *map(str, counts))
    Console().print(view)


def _print_summary(summary: dict, output: Path) -> None:
    view = Table(title="SurgCLIP on videos it never saw")
    for name in ("measure", "value", "chance"):
        view.add_column(name, justify="left" if name == "measure" else "right")
    rows = {f"zero-shot accuracy, {level}": figures for level, figures in summary["levels"].items()}
    rows["zero-shot accuracy, task, unseen combinations"] = summary["unseen_combinations"]
    rows["motion-only pair, accuracy"] = summary["motion_pair"]
    for name, figures in rows.items():
        view.add_row(name, f"{figures['accuracy']:.3f}", f"{figures['chance']:.3f}")
    recall = summary["retrieval"]
    view.add_row("text-to-video R@1, task", f"{recall['recall_at_1']:.3f}", f"{recall['chance']:.3f}")
    console = Console()
    console.print(view)
    console.print(
        f"{summary['seconds']:.0f} s. Look at {output / 'report.png'}; the model: {output / 'training' / 'model'}."
    )
