# SPDX-License-Identifier: Apache-2.0
"""A model's folder to a model repository."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModel
from transformers.configuration_utils import PreTrainedConfig
from transformers.dynamic_module_utils import get_relative_import_files

from .cards import COMPUTED, CONVERSION_NAME, METRICS_NAME, read_json, render_model_card
from .guard import CARD_NAME, check_model_files
from .model_results import Results, eval_result_files, thinned_log, weight_files
from .repository import Content, Pushed, Repository

_NEEDED = ("config.json", "processor_config.json", "tokenizer.json")
_NEEDED_WITHOUT_TEXTS = ("config.json", "preprocessor_config.json")
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
        folder: As training (`model/`) or `surglavi convert` wrote it, of a SurgCLIP or another model, with reports in
            its folder `evaluation`.
        repo_id: `NAME/REPOSITORY`, made where it is absent.
        eval_results: Registered benchmarks that measures count for, `("BENCHMARK:MEASURE", "NAME/REPOSITORY:TASK")`
            each. Those of an earlier push go where they are not given.
        public: Whether everybody may see the repository.
        tag: Version of the commit; by default the next of v1, v2, ….

    Raises:
        FileNotFoundError: the folder lacks a part of a model.
        ValueError: its authors do not let converted weights be given on; it has a file that is none, a weight file is
            damaged, or a report is of other weights.
        HubError: the Hub cannot be reached or refuses. Files, commits and tags are unchanged then; where only the tag
            or the visibility failed, after the commit, it says so.
    """
    folder = Path(folder)
    family = _family(folder)
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
    return repository.push(files, stale, f"Push {family or 'a SurgCLIP'}", tag)


def _family(folder: Path) -> str | None:
    """
    Returns what other than a SurgCLIP was converted, if that is so.

    Raises:
        ValueError: its licence does not let it be given on.
    """
    origin = read_json(folder / CONVERSION_NAME) if (folder / CONVERSION_NAME).is_file() else {}
    family = origin.get("family")
    if family is not None and origin.get("sharing") != "yes":
        raise ValueError(f"{folder} is not pushed, {family} may not be given on: {origin.get('licence_words')}")
    return family


def _model_files(folder: Path) -> dict[str, Content]:
    """Returns the files at the top of a folder but for its card; hidden ones do not count."""
    reads_no_texts = (folder / "preprocessor_config.json").is_file() and not (
        folder / "processor_config.json"
    ).exists()
    needed = _NEEDED_WITHOUT_TEXTS if reads_no_texts else _NEEDED
    if missing := [name for name in needed if not (folder / name).is_file()]:
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
    config = _check_weights(folder, files)
    own = [] if type(config).__module__.startswith("transformers.") else ["config.json"]
    _check_code(folder, [*own, needed[1]])
    return files


def _check_weights(folder: Path, files: Mapping[str, Content]) -> PreTrainedConfig:
    """The tensors are those of the model that `config.json` describes, no more and no less. Returns the config."""
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
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
            model = AutoModel.from_config(config)
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
    return config


def _check_code(folder: Path, names: Sequence[str]) -> None:
    """Whoever loads the model without surglavi_hf needs the code that these settings name."""
    named = set()
    for name in names:
        settings = read_json(folder / name)
        if not isinstance(settings.get("auto_map"), dict) or not settings["auto_map"]:
            raise ValueError(f"{folder / name} names no code (auto_map); write it with save_pretrained of surglavi_hf")
        parts = [settings, *(part for part in settings.values() if isinstance(part, dict))]  # of a processor
        maps = [part["auto_map"] for part in parts if isinstance(part.get("auto_map"), dict)]
        named |= {f"{entry.split('.')[0]}.py" for each in maps for entry in each.values() if isinstance(entry, str)}
    needed = set(named)
    for name in sorted(named):
        try:
            needed |= {Path(path).name for path in get_relative_import_files(folder / name)}  # which reads them all
        except FileNotFoundError as error:
            missing = Path(error.filename).name
            raise FileNotFoundError(f"{folder} has no {missing}, the code of the model; write it again") from error
    if other := sorted(path.name for path in folder.glob("*.py") if path.name not in needed):
        raise ValueError(f"{folder / other[0]} is no code that the model needs; move it out of {folder}")
