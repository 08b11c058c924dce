# SPDX-License-Identifier: Apache-2.0
"""A model's folder to a model repository."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModel
from transformers.dynamic_module_utils import get_relative_import_files

from .cards import COMPUTED, METRICS_NAME, read_json, render_model_card
from .guard import CARD_NAME, check_model_files
from .model_results import Results, eval_result_files, thinned_log, weight_files
from .repository import Content, Pushed, Repository

_NEEDED = ("config.json", "processor_config.json", "tokenizer.json")
# What an earlier push may have left; other files there are other people's.
_OURS = re.compile(
    r"model[\w.-]*\.safetensors(\.index\.json)?|evaluation/([\w.-]+/)?[\w.-]+\.json|\.eval_results/surglavi_hf--.+",
    re.ASCII,
)


def push_model(
    folder: str | os.PathLike,
    repo_id: str,
    eval_results: Sequence[tuple[str, str]] = (),
    public: bool = False,
    tag: str | None = None,
) -> Pushed:
    """
    Publishes a model in one commit: weights, processor, the code that `trust_remote_code` runs, settings, reports and
    a card rendered from these files. The words that others wrote into the card stay, and the same model twice makes no
    commit.

    Args:
        folder: As training (`model/`) or `surglavi convert` wrote it, with reports in its folder `evaluation`.
        repo_id: `NAME/REPOSITORY`, made where it is absent.
        eval_results: Registered benchmarks that measures count for, `("BENCHMARK:MEASURE", "NAME/REPOSITORY:TASK")`
            each. Those of an earlier push go where they are not given.
        public: Whether everybody may see the repository.
        tag: Version of the commit; by default the next of v1, v2, ….

    Raises:
        FileNotFoundError: the folder lacks a part of a model.
        ValueError: it has a file that is none, a weight file is damaged, or a report is of other weights.
        HubError: the Hub cannot be reached or refuses. Files, commits and tags are unchanged then; where only the tag
            or the visibility failed, after the commit, it says so.
    """
    folder = Path(folder)
    files: dict[str, Content] = _model_files(folder)
    if METRICS_NAME in files:
        files[METRICS_NAME] = thinned_log(folder / METRICS_NAME)
    results = Results.read(folder, METRICS_NAME)
    files |= {name: folder / name for name in results.reports}
    files |= eval_result_files(results, eval_results)
    card = render_model_card(folder, repo_id)
    check_model_files(files)
    repository = Repository(repo_id, "model", public)
    files[CARD_NAME] = card.merged_into(repository.read_text(CARD_NAME), COMPUTED).encode()
    check_model_files({CARD_NAME: files[CARD_NAME]})
    stale = {name for name in repository.files if _OURS.fullmatch(name)}
    return repository.push(files, stale, "Push a SurgCLIP", tag)


def _model_files(folder: Path) -> dict[str, Content]:
    """Returns the files at the top of a folder but for its card; hidden ones do not count."""
    if missing := [name for name in _NEEDED if not (folder / name).is_file()]:
        raise FileNotFoundError(
            f"{folder} has no {', '.join(missing)}; name a folder of training (OUTPUT/model) or surglavi convert"
        )
    files: dict[str, Content] = {}
    for path in sorted(folder.iterdir()):
        if (
            path.name.startswith(".")
            or path.name == CARD_NAME
            or (path.is_dir() and path.name in ("evaluation", "__pycache__"))
        ):
            continue
        if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{path} is no part of a model, or a link to elsewhere; move it out of {folder}")
        files[path.name] = path
    _check_weights(folder, files)
    _check_code(folder)
    return files


def _check_weights(folder: Path, files: Mapping[str, Content]) -> None:
    """The tensors are those of the model that `config.json` describes, no more and no less."""
    names = set(weight_files(folder))
    if missing := sorted(names - set(files)):
        raise FileNotFoundError(f"{folder} has no {', '.join(missing)}; write the model again")
    shapes = {}
    for name in sorted(names):
        try:
            with safe_open(folder / name, "pt") as file:
                shapes |= {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118  no mapping
        except SafetensorError as error:
            raise ValueError(f"{folder / name} cannot be read as weights ({error}); write the model again") from error
    try:
        with torch.device("meta"):
            model = AutoModel.from_config(AutoConfig.from_pretrained(folder, trust_remote_code=False))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{folder / 'config.json'} describes no model ({reason}); write the model again") from error
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    if other := sorted(name for name in shapes.keys() | expected.keys() if shapes.get(name) != expected.get(name)):
        raise ValueError(
            f"{folder} holds {len(other)} tensors that are not as config.json says, for example {other[0]}: found "
            f"{shapes.get(other[0])}, expected {expected.get(other[0])}; write the model again"
        )
    if extra := sorted(name for name in files if name.endswith(".safetensors") and name not in names):
        raise ValueError(f"{folder / extra[0]} is no part of the model; move it out of {folder}")


def _check_code(folder: Path) -> None:
    """Whoever loads the model without surglavi_hf needs the code that its configs name."""
    named = set()
    for name in ("config.json", "processor_config.json"):
        auto_map = read_json(folder / name).get("auto_map")
        if not isinstance(auto_map, dict) or not auto_map:
            raise ValueError(f"{folder / name} names no code (auto_map); write it with save_pretrained of surglavi_hf")
        named |= {f"{entry.split('.')[0]}.py" for entry in auto_map.values() if isinstance(entry, str)}
    needed = set(named)
    for name in sorted(named):
        try:
            needed |= {Path(path).name for path in get_relative_import_files(folder / name)}  # which reads them all
        except FileNotFoundError as error:
            missing = Path(error.filename).name
            raise FileNotFoundError(f"{folder} has no {missing}, the code of the model; write it again") from error
    if other := sorted(path.name for path in folder.glob("*.py") if path.name not in needed):
        raise ValueError(f"{folder / other[0]} is no code that the model needs; move it out of {folder}")
