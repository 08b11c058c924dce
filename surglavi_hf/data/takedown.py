# SPDX-License-Identifier: Apache-2.0
"""What must not be published."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ..media.identity import find_youtube_id, video_identity
from .line_files import append_line, locked
from .splits import video_identities

TAKEDOWN_NAME = "takedown.txt"
_HEADER = (
    "# Taken down: YouTube ids or names of videos, and captions as caption:NUMBER, one a line.\n"
    "# Nothing of these videos and no row of these captions is in this dataset; remove them from copies, too.\n"
)
_CAPTION = "caption:"


@dataclass(frozen=True)
class Takedown:
    """
    Args:
        videos: YouTube ids and names.
        captions: Values of `caption_id`.
    """

    videos: frozenset[str] = frozenset()
    captions: frozenset[int] = frozenset()

    @classmethod
    def of_text(cls, text: str) -> "Takedown":
        """
        Reads lines such as `dQw4w9WgXcQ`, an address of YouTube that holds it, the name of a video, or `caption:123`;
        empty lines and those that start with `#` do not count.

        Raises:
            ValueError: no number follows `caption:`, or a line is another address or has a remark.
        """
        videos, captions = set(), set()
        for line in map(_trimmed, text.splitlines()):
            if not line or line.startswith("#"):
                continue
            if "/" in line:
                line = find_youtube_id(line) or line
            if "://" in line or " #" in line:
                raise ValueError(
                    f"takedown list: {line!r}, expected a YouTube id or name alone; remarks have own lines"
                )
            if not line.startswith(_CAPTION):
                videos.add(line)
            elif not re.fullmatch(r"\d{1,18}", line.removeprefix(_CAPTION).strip(), re.ASCII):
                raise ValueError(f"takedown list: {line!r}, expected a caption's number, as in caption:123")
            else:
                captions.add(int(line.removeprefix(_CAPTION)))
        return cls(frozenset(videos), frozenset(captions))

    @classmethod
    def read(cls, path: str | os.PathLike) -> "Takedown":
        """Reads a file, as `of_text`; raises FileNotFoundError where there is none, ValueError where it is no text."""
        try:
            return cls.of_text(Path(path).read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise ValueError(f"takedown list {path} is no UTF-8 text ({error.reason}); save it as UTF-8") from error
        except ValueError as error:
            raise ValueError(f"{path}, {error}") from error

    def __sub__(self, other: "Takedown") -> "Takedown":
        return Takedown(self.videos - other.videos, self.captions - other.captions)

    def __or__(self, other: "Takedown") -> "Takedown":
        return Takedown(self.videos | other.videos, self.captions | other.captions)

    def __len__(self) -> int:
        return len(self.videos) + len(self.captions)

    def to_text(self) -> str:
        """Returns the list as it is published; `of_text` reads it."""
        return _HEADER + "".join(f"{entry}\n" for entry in self.entries())

    def entries(self) -> list[str]:
        """Returns the lines of the list, in order."""
        return [*sorted(self.videos), *(f"{_CAPTION}{number}" for number in sorted(self.captions))]

    def with_copies(self, videos: pa.Table) -> "Takedown":
        """
        Returns the list with the identities of the videos it names, and the names of those copies of them that cannot
        be told from their YouTube id; of table `videos`.

        Raises:
            ValueError: such a name can stand in no list.
        """
        identities = video_identities(videos)
        listed = pc.is_in(identities, identities.filter(self._names(videos)))
        found = {*identities.filter(listed).to_pylist()}
        copies = videos.filter(listed).select(["youtube_id", "name"])  # as tables of captions know them
        shown = video_identities(copies).to_pylist()
        named = zip(copies["name"].to_pylist(), shown, strict=True)
        entries = found | {_trimmed(name) for name, identity in named if identity not in found} - {""}
        if unlisted := sorted(entries - Takedown.of_text("\n".join(entries)).videos):
            raise ValueError(f"takedown list: no line can name the copy {unlisted[0]!r}; rename it in the database")
        return Takedown(self.videos | entries, self.captions)

    def unknown(self, videos: pa.Table) -> frozenset[str]:
        """Returns the entries that no row of table `videos` is of."""
        known = {*map(_trimmed, videos["name"].to_pylist()), *video_identities(videos).to_pylist()}
        return frozenset(entry for entry in self.videos if not known & {entry, video_identity(entry, None, None)})

    def _names(self, table: pa.Table) -> pa.BooleanArray:
        """Returns which rows of a config are of a video on the list."""
        entries = self.videos | {video_identity(entry, None, None) for entry in self.videos}
        listed = pc.is_in(video_identities(table), pa.array(sorted(entries), pa.string()))
        for column in {"video_name", "name"} & set(table.column_names):
            written = [name for name in table[column].unique().to_pylist() if name and _trimmed(name) in entries]
            listed = pc.or_(listed, pc.is_in(table[column].combine_chunks(), pa.array(written, pa.string())))
        return listed

    def applied_to(self, table: pa.Table) -> pa.Table:
        """Returns the rows of a config that stay, without links to captions that do not."""
        keep = pc.invert(self._names(table))
        captions = pa.array(sorted(self.captions), pa.int64())
        if "caption_id" in table.column_names:
            keep = pc.and_(keep, pc.invert(pc.is_in(table["caption_id"], captions)))
        table = table.filter(keep)
        if "parent_caption_id" in table.column_names:
            place = table.column_names.index("parent_caption_id")
            parent = table["parent_caption_id"]
            gone = pc.is_in(parent, captions)
            table = table.set_column(place, table.field(place), pc.if_else(gone, pa.scalar(None, parent.type), parent))
        return table


def add_to_takedown(path: str | os.PathLike, entry: str) -> None:
    """
    Adds an entry to a list, on disk when this returns; the file is made where there is none, and has each entry once.
    Other processes may add to it at the same time.

    Args:
        path: The file.
        entry: A YouTube id, the name of a video, or `caption:NUMBER`.

    Raises:
        ValueError: no line can name this entry, or the list there is none.
        OSError: it cannot be written.
    """
    path, line = Path(path), _trimmed(entry)
    added = Takedown.of_text(line)
    if added.entries() != [line] or line != line.encode("utf-8", "replace").decode():
        raise ValueError(
            f"takedown list: {entry[:80]!r} cannot be a line of it, expected a YouTube id, the name of a video, or "
            "caption:NUMBER"
        )
    with locked(path):
        has_lines = path.is_file() and path.stat().st_size
        if has_lines and not len(added - Takedown.read(path)):
            return
        append_line(path, line if has_lines else f"{_HEADER}{line}")


def _trimmed(name: str | None) -> str:
    return video_identity(None, None, name)
