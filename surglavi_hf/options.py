# SPDX-License-Identifier: Apache-2.0
"""Options that are stated once: in a dataclass, from which flags, their types, defaults and help follow."""

import argparse
import dataclasses
import types
from collections.abc import Callable, Collection, Sequence
from dataclasses import MISSING, field
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def option(
    default: Any = MISSING,
    help: str = "",
    *,
    flag: str | None = None,
    metavar: str | None = None,
    least: int | float | None = None,
    repr: bool = True,
) -> Any:
    """
    Returns a field of a dataclass that is also a flag of commands.

    Args:
        default: Of both; without one the flag is required.
        help: What `--help` says; the default is added to it.
        flag: Its name, where it is not the field's with dashes, such as `"--window"`.
        metavar: What stands for the value in `--help`.
        least: The least that a number may be.
        repr: Whether the dataclass shows it.
    """
    metadata = {"help": help, "flag": flag, "metavar": metavar, "least": least}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), repr=repr, metadata=metadata)
    return field(default=default, repr=repr, metadata=metadata)


def add_options(parser: argparse.ArgumentParser, kind: type, leave_out: Collection[str] = (), **defaults: Any) -> None:
    """
    Adds a flag for each field of a dataclass that is an [`option`].

    Args:
        parser: Of a command.
        kind: The dataclass.
        leave_out: Fields that the command does not have.
        defaults: Of this command, where they are not the dataclass's.
    """
    hints = get_type_hints(kind)
    for item in dataclasses.fields(kind):
        if "flag" in item.metadata and item.name not in leave_out:
            _add(parser, item, hints[item.name], defaults)


def options_of(kind: type[T], namespace: argparse.Namespace, **others: Any) -> T:
    """
    Returns the dataclass that the flags of a command fill.

    Args:
        kind: As [`add_options`] took it.
        namespace: What was parsed.
        others: Fields that have no flag.

    Raises:
        ValueError: as the dataclass.
    """
    hints, values = get_type_hints(kind), {}
    for item in dataclasses.fields(kind):
        if "flag" in item.metadata and hasattr(namespace, item.name):
            value = getattr(namespace, item.name)
            values[item.name] = tuple(value) if get_origin(hints[item.name]) is tuple else value
    return kind(**{**values, **others})


def with_dashes(arguments: Sequence[str]) -> list[str]:
    """Returns a command line whose flags are spelled with dashes, however they were; what follows a `--` stays."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return [*map(_with_dashes, arguments[:end]), *arguments[end:]]


def _with_dashes(word: str) -> str:
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value if word.startswith("--") else word


def _add(parser: argparse.ArgumentParser, item: dataclasses.Field, annotation: Any, defaults: dict[str, Any]) -> None:
    default = item.default if item.default_factory is MISSING else item.default_factory()
    default = defaults.get(item.name, default)
    flag = item.metadata["flag"] or f"--{item.name.replace('_', '-')}"
    value: dict[str, Any] = {"dest": item.name, "required": default is MISSING}
    value["default"] = None if default is MISSING else default
    value["help"] = item.metadata["help"].replace("%", "%%") + _default_in_words(default, item.metadata["help"])
    annotation = _without_none(annotation)
    if annotation is bool:
        action = argparse.BooleanOptionalAction if default is True else "store_true"
        parser.add_argument(flag, action=action, **value)
        return
    several = get_origin(annotation) in (list, tuple)
    if several:
        annotation = get_args(annotation)[0]
        value["nargs"] = "*" if default is not MISSING and not default else "+"
    if get_origin(annotation) is Literal:
        value |= {"choices": get_args(annotation), "type": type(get_args(annotation)[0])}
    else:
        value["type"] = _converter(annotation, item.metadata["least"])
    metavar = item.metadata["metavar"] or {int: "N", float: "X"}.get(annotation)
    parser.add_argument(flag, metavar=metavar or (None if "choices" in value else "TEXT"), **value)


def _without_none(annotation: Any) -> Any:
    """Of `X | None` the X."""
    if get_origin(annotation) in (Union, types.UnionType):
        return next(part for part in get_args(annotation) if part is not type(None))
    return annotation


def _default_in_words(default: Any, help: str) -> str:
    if default is MISSING or default is None or isinstance(default, bool) or "(default" in help:
        return ""
    words = " ".join(map(str, default)) if isinstance(default, list | tuple) else str(default)
    return f" (default: {words})".replace("%", "%%") if words else ""


def _converter(kind: Callable[[str], Any], least: Any) -> Callable[[str], Any]:
    """What makes a value of a word; argparse shows the message of its error."""

    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except (TypeError, ValueError):
            value = None
        if value is None or value != value or (least is not None and value < least):
            what = {int: "a whole number", float: "a number"}.get(kind, "another value")
            raise argparse.ArgumentTypeError(f"{text!r}, expected {what}{'' if least is None else f' >= {least}'}")
        return value

    return convert
