# SPDX-License-Identifier: Apache-2.0
"""Options that are stated once: in a dataclass, from which flags, their types, defaults and help follow."""

import argparse
import dataclasses
import types
from collections.abc import Collection, Sequence
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
    Adds a flag for each field of a dataclass that is an [`option`]; those that are keywords only come last.

    Args:
        parser: Of a command.
        kind: The dataclass.
        leave_out: Fields that the command does not have.
        defaults: Of this command, where they are not the dataclass's.
    """
    hints = get_type_hints(kind)
    for item in sorted(dataclasses.fields(kind), key=lambda item: item.kw_only):
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


def value_of(kind: type, name: str, value: Any) -> Any:
    """
    Returns a value of a settings file as its flag would give it: YAML reads 1e-4 as text, and a file may hold
    anything.

    Args:
        kind: The dataclass.
        name: Of its field.
        value: As the file has it.

    Raises:
        ValueError: it is of another type, or none of the choices.
    """
    item = next(item for item in dataclasses.fields(kind) if item.name == name)
    form = _Form(item, get_type_hints(kind)[name])
    try:
        return form.of_file(value)
    except (argparse.ArgumentTypeError, TypeError, ValueError) as error:
        expected = f"a list, each {form.expected()}" if form.several else form.expected()
        raise ValueError(f"{name}={value!r}, expected {expected}") from error


def with_dashes(arguments: Sequence[str]) -> list[str]:
    """Returns a command line whose flags are spelled with dashes, however they were; what follows a `--` stays."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return [*map(_with_dashes, arguments[:end]), *arguments[end:]]


def _with_dashes(word: str) -> str:
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value if word.startswith("--") else word


class _Form:
    """What a field takes, by its annotation."""

    def __init__(self, item: dataclasses.Field, annotation: Any):
        self.optional = type(None) in get_args(annotation)
        if get_origin(annotation) in (Union, types.UnionType):
            annotation = next(part for part in get_args(annotation) if part is not type(None))
        self.several = get_origin(annotation) if get_origin(annotation) in (list, tuple) else None
        self.kind = get_args(annotation)[0] if self.several else annotation
        self.choices = get_args(self.kind) if get_origin(self.kind) is Literal else None
        if self.choices:
            self.kind = type(self.choices[0])
        self.least = item.metadata["least"]

    def convert(self, text: str) -> Any:
        """What makes a value of a word; argparse shows the message of its error."""
        try:
            value = self.kind(text)
        except (TypeError, ValueError):
            value = None
        if value is None or value != value or (self.least is not None and value < self.least):
            raise argparse.ArgumentTypeError(f"{text!r}, expected {self.expected()}")
        return value

    def of_file(self, value: Any) -> Any:
        """As `convert`, of what a file holds. Raises TypeError, ValueError or ArgumentTypeError."""
        if value is None and self.optional:
            return None
        if self.several:
            values = [value] if isinstance(value, str) else value
            return self.several(map(self._one, values))
        return self._one(value)

    def _one(self, value: Any) -> Any:
        if self.kind is bool:
            if not isinstance(value, bool):
                raise ValueError
            return value
        if value is False and self.choices and "no" in self.choices:
            value = "no"  # as YAML reads it without quotes
        if value is None or isinstance(value, bool | dict | list):
            raise ValueError
        value = self.convert(str(value))
        if self.choices and value not in self.choices:
            raise ValueError
        return value

    def expected(self) -> str:
        if self.choices:
            return f"one of {', '.join(map(str, self.choices))}"
        what = {int: "a whole number", float: "a number", bool: "true or false"}.get(self.kind, "text")
        return what if self.least is None else f"{what} >= {self.least}"


def _add(parser: argparse.ArgumentParser, item: dataclasses.Field, annotation: Any, defaults: dict[str, Any]) -> None:
    form = _Form(item, annotation)
    default = item.default if item.default_factory is MISSING else item.default_factory()
    default = defaults.get(item.name, default)
    flag = item.metadata["flag"] or f"--{item.name.replace('_', '-')}"
    value: dict[str, Any] = {"dest": item.name, "required": default is MISSING}
    value["default"] = None if default is MISSING else default
    value["help"] = item.metadata["help"].replace("%", "%%") + _default_in_words(default, item.metadata["help"])
    if form.kind is bool:
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, **value)
        return
    if form.several:
        value["nargs"] = "*"
    metavar = item.metadata["metavar"]
    if form.choices:
        value["choices"] = form.choices
    else:
        metavar = metavar or {int: "N", float: "X"}.get(form.kind, "TEXT")
    parser.add_argument(flag, metavar=metavar, type=form.convert, **value)


def _default_in_words(default: Any, help: str) -> str:
    if default is MISSING or default is None or "(default" in help:
        return ""
    if isinstance(default, bool):
        return " (default: yes)" if default else ""
    words = " ".join(map(str, default)) if isinstance(default, list | tuple) else str(default)
    return f" (default: {words})".replace("%", "%%") if words else ""
