# SPDX-License-Identifier: Apache-2.0
"""What it brings to leave true captions out of the negatives: the demo's training with each choice of `negatives`, the
peer being `all`, and zero-shot and retrieval figures on the demo's test videos, over several seeds. Example:

python benchmarks/negatives.py --output negatives --negatives all overlap --seeds 5

Runs that are in OUTPUT/results.jsonl are not made again.
"""

import argparse
import json
import shutil
from pathlib import Path

from rich.console import Console
from rich.table import Table

from surglavi_hf import TrainingConfig, train
from surglavi_hf.demo.corpus import write_corpus
from surglavi_hf.demo.run import FPS, SIZE, TEST_FRACTION, evaluate_model, summarize
from surglavi_hf.media import FrameStoreOptions, VideoLibrary, build_frame_stores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--negatives", nargs="+", default=["all", "same-text", "ancestor", "overlap", "same-video"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--max_steps", type=int, default=800)
    arguments = parser.parse_args()
    corpus = arguments.output / "corpus"
    if not corpus.exists():
        beside = write_corpus(arguments.output / ".corpus-unfinished", 0)
        build_frame_stores(VideoLibrary(beside), FrameStoreOptions(fps=FPS, short_side=SIZE))
        beside.rename(corpus)
    results = arguments.output / "results.jsonl"
    lines = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    for seed in range(arguments.seeds):
        for negatives in arguments.negatives:
            asked = {"negatives": negatives, "seed": seed, "max_steps": arguments.max_steps}
            if not any(asked.items() <= line.items() for line in lines):
                lines.append(asked | run_once(corpus, arguments.output / "run", **asked))
                with results.open("a") as file:
                    file.write(json.dumps(lines[-1]) + "\n")
    chosen = [line for line in lines if line["seed"] < arguments.seeds and line["max_steps"] == arguments.max_steps]
    print_table({name: [line for line in chosen if line["negatives"] == name] for name in arguments.negatives})


def run_once(corpus: Path, output: Path, negatives: str, seed: int, max_steps: int) -> dict[str, float]:
    shutil.rmtree(output, ignore_errors=True)
    model_dir = train(
        TrainingConfig(
            data_dir=str(corpus),
            output_dir=str(output / "training"),
            test_fraction=TEST_FRACTION,
            max_steps=max_steps,
            per_device_train_batch_size=32,
            learning_rate=1.5e-3,
            min_crop_area=1.0,
            save_steps=0,
            negatives=negatives,
            seed=seed,
        )
    )
    summary = summarize(evaluate_model(str(model_dir), str(corpus), str(output)))
    return {
        **{level: figures["accuracy"] for level, figures in summary["levels"].items()},
        "unseen_combinations": summary["unseen_combinations"]["accuracy"],
        "text_to_video_R@1": summary["retrieval"]["recall_at_1"],
    }


def print_table(results: dict[str, list[dict]]) -> None:
    peers = {line["seed"]: line for line in results.get("all", [])}
    view = Table(title="mean over seeds; in how many seeds above negatives=all")
    measures = ("task", "step", "phase", "unseen_combinations", "text_to_video_R@1")
    for name in ("negatives", "seeds", *measures):
        view.add_column(name)
    for negatives, lines in results.items():
        cells = []
        for name in measures:
            mean = sum(line[name] for line in lines) / max(1, len(lines))
            wins = sum(line[name] > peers[line["seed"]][name] for line in lines if line["seed"] in peers)
            cells.append(f"{mean:.3f} ({wins})")
        view.add_row(negatives, str(len(lines)), *cells)
    Console().print(view)


if __name__ == "__main__":
    main()
