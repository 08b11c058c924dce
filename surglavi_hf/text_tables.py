# SPDX-License-Identifier: Apache-2.0
"""Tables of text as people's spreadsheets and annotation tools write them, and times as people write them."""

import codecs
import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_DELIMITERS = (",", ";", "\t")
_NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d+)?)", re.ASCII)


@dataclass(frozen=True)
class TableRow:
    """
    Args:
        where: The file and the line, for messages.
        cells: By the name of the column, without blanks around.
    """

    where: str
    cells: Mapping[str, str]

    def error(self, message: str) -> ValueError:
        return ValueError(f"{self.where}: {message}")

    def time(self, column: str, frames_per_second: float | None = None) -> float:
        """
        Returns a cell as a time in seconds, as [`parse_time`] does.

        Raises:
            ValueError: it is none; names the line and the column.
        """
        try:
            return parse_time(self.cells[column], frames_per_second)
        except ValueError as error:
            raise self.error(f"{column} {error}") from error


def read_text(path: Path) -> str:
    """
    Returns a text file in UTF-8, or in UTF-16 with a byte order mark.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is in another encoding, or no text.
    """
    data = path.read_bytes()
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}, line {line}: no UTF-8 text; save it again as UTF-8 (in Excel: CSV UTF-8)"
        ) from error
    if "\0" in text:
        raise ValueError(f"{path}, line {text[: text.index(chr(0))].count(chr(10)) + 1}: no text, but a zero byte")
    return text


def read_table(
    path: Path, columns: Sequence[str], optional: Sequence[str] = (), preamble: bool = False
) -> list[TableRow]:
    """
    Returns the rows of a table whose first line names its columns, in upper or lower case and any order. Cells are
    divided by commas, semicolons or tabs, whichever the first line is; empty lines are passed over.

    Args:
        path: The file.
        columns: Those that it must have.
        optional: Those that are taken where they are there.
        preamble: Whether lines may come before the one that names the columns.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is no text, has not these columns, or a line has more or fewer cells than the first.
    """
    text = read_text(path)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")  # and at no other characters
    for delimiter in _DELIMITERS:
        for skipped in range(len(lines) if preamble else min(len(lines), 1 + _leading_blanks(lines))):
            header = next(csv.reader([lines[skipped]], delimiter=delimiter), [])
            if {name.casefold() for name in columns} <= {cell.strip().casefold() for cell in header}:
                return _rows(path, lines, skipped, delimiter, [*columns, *optional])
    found = next((line for line in lines if line.strip()), "")
    shown = f"{found[:100]!r}" if found else "an empty file"
    raise ValueError(
        f"{path}, line 1: {shown}, expected a line that names the columns {', '.join(columns)}, divided by commas, "
        "semicolons or tabs"
    )


def _leading_blanks(lines: Sequence[str]) -> int:
    return next((number for number, line in enumerate(lines) if line.strip()), 0)


def _rows(path: Path, lines: Sequence[str], skipped: int, delimiter: str, wanted: Sequence[str]) -> list[TableRow]:
    reader = csv.reader(io.StringIO("\n".join(lines[skipped:]) + "\n"), delimiter=delimiter)
    rows: list[TableRow] = []
    try:
        header = [cell.strip().casefold() for cell in next(reader)]
        while header and not header[-1]:
            header.pop()
        if twice := [name for name in wanted if header.count(name.casefold()) > 1]:
            raise ValueError(f"{path}, line {skipped + 1}: the column {twice[0]} is there twice, expected once")
        places = {name: header.index(name.casefold()) for name in wanted if name.casefold() in header}
        for cells in reader:
            where = f"{path}, line {reader.line_num + skipped}"
            cells = [cell.strip() for cell in cells]
            if not any(cells):
                continue
            while len(cells) > len(header) and not cells[-1]:
                cells.pop()
            if len(cells) != len(header):
                hint = "; put a text that has the delimiter in quotes" if len(cells) > len(header) else ""
                raise ValueError(f"{where}: {len(cells)} cells, expected {len(header)} as in the first line{hint}")
            rows.append(TableRow(where, {name: cells[place] for name, place in places.items()}))
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num + skipped}: no table ({error})") from error
    return rows


def parse_time(text: str, frames_per_second: float | None = None) -> float:
    """
    Returns a time in seconds.

    Args:
        text: Seconds (`83.5`), `mm:ss` or `h:mm:ss`, with or without a fraction; or a number of frames.
        frames_per_second: Given, `text` is a number of frames.

    Raises:
        ValueError: it is none of these, or could be read in two ways.
    """
    text = text.strip()
    if frames_per_second is not None:
        if not (text.isdecimal() and text.isascii()) and not re.fullmatch(r"\d+\.0+", text, re.ASCII):
            raise ValueError(f"{text!r}, expected a whole number of frames")
        return int(float(text)) / frames_per_second
    if match := _CLOCK.fullmatch(text):
        hours, minutes, seconds = int(match[1] or 0), int(match[2]), float(match[3].replace(",", "."))
        if seconds >= 60 or (match[1] is not None and minutes >= 60):
            raise ValueError(f"{text!r}, expected minutes and seconds below 60")
        return 3600 * hours + 60 * minutes + seconds
    if not _NUMBER.fullmatch(text) or not math.isfinite(value := float(text.replace(",", "."))):
        raise ValueError(f"{text!r}, expected seconds or h:mm:ss")
    if re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", text):
        fraction, thousands = text.replace(",", "."), text.replace(",", "")
        raise ValueError(f"{text!r} could be {thousands} s or {fraction} s; write which")
    return value
