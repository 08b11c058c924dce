# SPDX-License-Identifier: Apache-2.0
import argparse
from dataclasses import dataclass
from typing import Literal

import pytest

from surglavi_hf.options import add_options, option, options_of, value_of, with_dashes


@dataclass(frozen=True)
class Recipe:
    eggs: int = option(2, "How many.", least=1)
    butter: float | None = option(None, "In grams, 100 % of it.", flag="--fat")
    heat: Literal["low", "high"] = option("low", "Of the stove.")
    spices: tuple[str, ...] = option((), "As many as you like.")
    minutes: tuple[int, ...] = option((3, 5), "One a side.")
    salt: bool = option(True, "Salted.")
    lid: bool = option(False, "Covered.")
    name: str = ""

    def __post_init__(self):
        if self.lid and self.heat == "high":
            raise ValueError("a lid and high heat, expected one of them")


def parse(*words: str, leave_out=(), **defaults) -> Recipe:
    parser = argparse.ArgumentParser()
    add_options(parser, Recipe, leave_out, **defaults)
    return options_of(Recipe, parser.parse_args(with_dashes(words)), name="omelette")


def test_flags_types_and_defaults_follow_from_the_dataclass():
    assert parse() == Recipe(name="omelette")
    words = ["--eggs", "3", "--fat", "2.5", "--heat", "high", "--spices", "dill", "--minutes", "4", "--no-salt"]
    assert parse(*words) == Recipe(3, 2.5, "high", ("dill",), (4,), salt=False, name="omelette")
    assert parse("--lid").lid


def test_a_command_may_have_other_defaults_and_fewer_flags(capsys):
    assert parse(eggs=6).eggs == 6
    with pytest.raises(SystemExit):
        parse("--eggs", "3", leave_out=("eggs",))


@pytest.mark.parametrize(
    "words, message",
    [
        (["--eggs", "0"], "argument --eggs: '0', expected a whole number >= 1"),
        (["--eggs", "two"], "argument --eggs: 'two', expected a whole number >= 1"),
        (["--fat", "nan"], "argument --fat: 'nan', expected a number"),
        (["--heat", "hot"], "argument --heat: invalid choice: 'hot'"),
    ],
)
def test_wrong_values_are_usage_errors(words, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse(*words)
    assert stopped.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.parametrize(
    "name, value, expected",
    [
        ("eggs", 3, 3),
        ("butter", "1e-4", 1e-4),  # as YAML reads it
        ("butter", None, None),
        ("spices", "dill", ("dill",)),
        ("minutes", [1, "2"], (1, 2)),
        ("salt", False, False),
    ],
)
def test_values_of_files_are_those_of_flags(name, value, expected):
    assert value_of(Recipe, name, value) == expected


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("eggs", None, "eggs=None, expected a whole number >= 1"),
        ("eggs", True, "eggs=True, expected a whole number >= 1"),
        ("eggs", 0, "eggs=0, expected a whole number >= 1"),
        ("heat", "hot", "heat='hot', expected one of low, high"),
        ("minutes", [1, [2]], r"minutes=\[1, \[2\]\], expected a list, each a whole number"),
        ("minutes", 3, "minutes=3, expected a list, each a whole number"),
        ("salt", "perhaps", "salt='perhaps', expected true or false"),
    ],
)
def test_wrong_values_of_files_are_named(name, value, message):
    with pytest.raises(ValueError, match=message):
        value_of(Recipe, name, value)


def test_what_only_the_dataclass_knows_is_its_error():
    with pytest.raises(ValueError, match="expected one of them"):
        parse("--lid", "--heat", "high")


def test_help_tells_defaults_once(capsys):
    parser = argparse.ArgumentParser()
    add_options(parser, Recipe)
    text = " ".join(parser.format_help().split())
    assert "How many. (default: 2)" in text and "One a side. (default: 3 5)" in text
    assert "In grams, 100 % of it. --" in text  # a percent sign is no format, and None is no default to tell
    assert "--salt, --no-salt Salted. (default: yes)" in text


def test_an_option_without_a_default_is_required():
    @dataclass
    class Needed:
        root: str = option(help="A folder.")

    parser = argparse.ArgumentParser()
    add_options(parser, Needed)
    with pytest.raises(SystemExit):
        parser.parse_args([])
    assert options_of(Needed, parser.parse_args(["--root", "x"])) == Needed("x")


def test_with_dashes_leaves_values_and_what_follows_two_dashes():
    words = ["--data_dir", "my_dir", "--max_height=a_b", "--", "--yt_dlp"]
    assert with_dashes(words) == ["--data-dir", "my_dir", "--max-height=a_b", "--", "--yt_dlp"]
