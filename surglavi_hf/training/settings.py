# SPDX-License-Identifier: Apache-2.0
"""Settings from flags, from a YAML or JSON file, from a preset, and from the run that is resumed."""

import difflib
from argparse import SUPPRESS, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..data.trained_on import RECORDED
from ..named_values import read_named_values
from ..options import add_options, options_of, value_of, with_dashes
from .config import TrainingConfig
from .resume import SETTINGS_NAME

PRESETS = Path(__file__).parent / "presets"
_NAMES = [item.name for item in fields(TrainingConfig)]
_SWITCHES = {
    f"--{item.name.replace('_', '-')}": f"--no-{item.name.replace('_', '-')}"
    for item in fields(TrainingConfig)
    if item.type is bool
}


def parse_settings(arguments: Sequence[str], description: str, prog: str) -> TrainingConfig:
    """
    Returns the settings that flags give; those they leave open come from `--config`, a file or the name of a preset,
    and where a run is resumed from that run.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: it cannot be read, or a setting is unknown, of a wrong type, out of range or against another.
    """
    arguments = _as_words(arguments)
    given = _given(arguments)
    values = read_settings(given.config) if "config" in given else {}
    if saved := _saved_settings(given, values):
        values = {**saved, **values}
    parser = ArgumentParser(
        description=description, prog=prog, formatter_class=RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add_options(parser, TrainingConfig)
    presets = ", ".join(sorted(path.stem for path in PRESETS.glob("*.yaml")))
    parser.add_argument("--config", help=f"YAML or JSON file of settings, or a preset: {presets}. Flags go first.")
    parser.add_argument("--debug", action="store_true", help="Show where an error comes from (its traceback).")
    parser.set_defaults(**{name: value_of(TrainingConfig, name, value) for name, value in values.items()})
    namespace, unknown = parser.parse_known_args(arguments)
    if unknown:
        name = unknown[0].lstrip("-").partition("=")[0].replace("-", "_")
        raise ValueError(f"unknown flag {unknown[0]}{_nearest(name)}")
    return options_of(TrainingConfig, namespace)


def _as_words(arguments: Sequence[str]) -> list[str]:
    """Flags as they are here: with dashes, and without the `True` or `False` that scripts of transformers take."""
    words: list[str] = []
    for word in with_dashes(arguments):
        if words and words[-1] in _SWITCHES and word.lower() in ("true", "false"):
            words[-1] = _SWITCHES[words[-1]] if word.lower() == "false" else words[-1]
        else:
            words.append(word)
    return words


def _given(arguments: Sequence[str]) -> Namespace:
    """The flags that say where further settings are."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False, argument_default=SUPPRESS)
    for name in ("config", "output_dir", "resume"):
        parser.add_argument(f"--{name.replace('_', '-')}")
    return parser.parse_known_args([word for word in arguments if word not in ("-h", "--help")])[0]


def _saved_settings(given: Namespace, values: dict) -> dict[str, Any]:
    """Settings of the run that is to be resumed, none where there is no such run."""
    resume = getattr(given, "resume", values.get("resume"))
    output_dir = getattr(given, "output_dir", values.get("output_dir"))
    if not resume or not output_dir or not (path := Path(output_dir) / SETTINGS_NAME).is_file():
        return {}
    return read_settings(path)


def read_settings(name: str | Path) -> dict[str, Any]:
    """
    Returns the settings of a YAML or JSON file, or of a preset.

    Raises:
        FileNotFoundError: there is neither.
        ValueError: it cannot be read, or names an unknown setting.
    """
    path = Path(name)
    if not path.is_file():
        path = PRESETS / f"{name}.yaml" if str(name).isidentifier() else path
        if not path.is_file():
            presets = ", ".join(sorted(path.stem for path in PRESETS.glob("*.yaml")))
            raise FileNotFoundError(f"no settings at {name}, expected a YAML or JSON file or a preset: {presets}")
    values = read_named_values(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds no settings, expected names and values such as `learning_rate: 1.0e-4`")
    values = {name: value for name, value in values.items() if name not in RECORDED}  # no settings
    for key in values:
        if key not in _NAMES:
            raise ValueError(f"{path} has an unknown setting {key!r}{_nearest(str(key))}")
    return values


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, _NAMES, 1)
    return f"; is it {near[0]}?" if near else ""
