# SPDX-License-Identifier: Apache-2.0
"""Imports point down only, and every heavy dependency has one owner."""

import ast
from pathlib import Path

import pytest

import surglavi_hf

PACKAGE = Path(surglavi_hf.__file__).parent
# What belongs to no room, and every room but surgclip may use: a saved checkpoint carries that folder alone.
COMMON = {"files", "interrupts", "named_values", "options", "text_tables"}
# What each room may import of the others.
ROOMS = {
    "media": set(),
    "surgclip": set(),
    "models": {"surgclip"},  # how checkpoints are read and folders written
    "data": {"media"},
    "evaluation": {"data", "media", "surgclip"},  # of the latter its window rule and how models are loaded
    "hub": {"data", "evaluation"},  # of the latter reports only
    "training": {"data", "surgclip", "evaluation", "hub"},
    "demo": {"data", "media", "surgclip", "evaluation", "training"},
    "annotate": {"data", "media", "evaluation"},  # of the latter how a model sees clips
    "explorer": {"data", "media", "evaluation"},
    "cli": {"data", "media", "surgclip", "models", "evaluation", "hub", "training", "demo", "explorer", "annotate"},
}
OWNERS = {
    "sqlite3": {"data/database.py", "data/write_database.py", "explorer/words.py", "annotate/ledger.py"},
    "starlette": {"explorer/app.py", "explorer/guard.py"},
    "uvicorn": {"explorer/serve.py"},
    "openai": {"annotate/language_model.py"},
    "pydantic": {f"annotate/{name}.py" for name in ("captions", "questions", "segment")},
    "faster_whisper": {"annotate/speech.py"},
    "huggingface_hub.hf_hub_download": {"data/locate.py"},
    "huggingface_hub.HfApi": {"hub/background.py", "hub/repository.py"},
    "decord": {"media/decord_decoder.py"},
    "torchcodec": {"media/torchcodec_decoder.py"},
    "av": {
        *(
            f"media/{name}.py"
            for name in ("audio", "clock", "container", "frame_arrays", "playable", "probe", "pyav_decoder")
        ),
        *("media/remux.py", "media/timetable.py"),
        "demo/drawing.py",  # which draws videos
    },
    "xxhash": {"files.py", "media/frame_store.py", "media/library.py"},
    "simplejpeg": {"media/frame_store.py", "media/pictures.py"},
    "yt_dlp": {"media/download_options.py", "media/fetch.py", "media/parts.py", "doctor.py"},
    "torch.distributed": {"training/loss.py", "training/checkpoint.py", "training/run.py"},  # the latter for types
    "accelerate": {
        f"training/{name}.py"
        for name in ("accelerator", "checkpoint", "epochs", "evaluate", "launch", "log", "run", "update")
    }
    | {"evaluation/launched.py"},
    "peft": {"training/parameters.py"},
    "yaml": {
        "named_values.py",
        "hub/model_results.py",
    },
    "sklearn": {"evaluation/metrics.py", "evaluation/classifiers.py"},
    "ivtmetrics": {"evaluation/metrics.py"},
    "pympi": {"evaluation/benchmarks/readers/elan.py"},
    "faiss": {"evaluation/search.py"},
    "open_clip": {"evaluation/open_clip_encoder.py"},
    "sentence_transformers": {"evaluation/sentence_transformers_encoder.py"},
    "matplotlib": {"evaluation/figures.py"},
    "rich": {
        *(
            f"cli/{name}.py"
            for name in (
                "annotate",
                "clips",
                "command",
                "compare",
                "corpus",
                "evaluation",
                "hub",
                "library",
                "predict",
            )
        ),
        "annotate/display.py",
        "data/display.py",
        "data/display_videos.py",
        "demo/run.py",
        "doctor.py",
    },
}
FILES = sorted(PACKAGE.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Full names of the modules a file imports, at its top or inside a function."""
    package = ["surglavi_hf", *path.relative_to(PACKAGE).parent.parts]
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            module = [*base, *(node.module.split(".") if node.module else [])]
            names |= {".".join([*module, alias.name]) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports(path):
    relative = path.relative_to(PACKAGE)
    names = imported(path)
    rooms = {name.split(".")[1] for name in names if name.startswith("surglavi_hf.")} & set(ROOMS)
    if len(relative.parts) > 1:
        room = relative.parts[0]
        assert room in ROOMS, f"{room} is a new room: say in DESIGN's words what it may import"
        assert rooms - {room} <= ROOMS[room]
        top = {name.split(".")[1] for name in names if name.startswith("surglavi_hf.")} - set(ROOMS)
        allowed = set() if room == "surgclip" else COMMON | ({"faults"} if path.name == "__main__.py" else set())
        allowed |= {"faults", "doctor"} if room == "cli" else set()
        assert top <= allowed, f"a room imports the top level: {top}"
        if room == "hub":
            of_evaluation = {name for name in names if name.startswith("surglavi_hf.evaluation")}
            assert all(name.startswith("surglavi_hf.evaluation.report.") for name in of_evaluation)
    for library, owners in OWNERS.items():
        if any(name == library or name.startswith(f"{library}.") for name in names):
            assert relative.as_posix() in owners, f"{library} belongs to {owners}"


def test_the_walk_sees_imports():
    assert "surglavi_hf.media.VideoLibrary" in imported(PACKAGE / "data" / "clips.py")
    assert "decord" in imported(PACKAGE / "media" / "decord_decoder.py")
    assert len(FILES) > 25


def test_no_pickles_no_shell_no_print():
    for path in FILES:
        tree = ast.parse(path.read_text())
        calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert not calls & {"os.system", "os.popen", "eval", "exec", "pickle.load", "pickle.loads"}, path
        keywords = {
            f"{keyword.arg}={ast.unparse(keyword.value)}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            for keyword in node.keywords
        }
        assert not keywords & {"shell=True", "weights_only=False", "trust_remote_code=True"}, path
        if path.name not in ("__main__.py", "faults.py", "interrupts.py") and path.parent.name != "cli":
            assert "print" not in calls, path
