# SPDX-License-Identifier: Apache-2.0
"""The reviews of a corpus to its dataset repository, as a pull request."""

import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import load_dataset

from ..data import (
    DATABASE_NAME,
    TAKEDOWN_NAME,
    SplitOptions,
    Takedown,
    find_database,
    read_corpus_info,
    split_position,
    video_identities,
)
from ..data.apply_reviews import AppliedReviews, apply_reviews
from ..data.corpus_info import read_annotation_info
from ..data.embeddings import EMBEDDINGS, Embeddings
from ..files import reading
from .dataset_push import count_rows, dataset_files, published_shards, write_tables
from .dataset_tables import with_copies
from .repository import Repository

_DIGITS = 17  # of a fraction; more no float has


@dataclass(frozen=True)
class ProposedReviews:
    """
    Args:
        applied: What the reviews are; its database is not kept.
        url: Of the pull request; None where all is published already.
        changed: Files that it adds, changes or removes.
        rows: Of each config and split.
        newly_taken_down: What is not on the published takedown list yet.
        outdated: How many published embeddings are of captions that start or end at another time now.
    """

    applied: AppliedReviews
    url: str | None
    changed: tuple[str, ...]
    rows: dict[tuple[str, str], int]
    newly_taken_down: Takedown
    outdated: int


def push_reviews(data_dir: str | os.PathLike, repo_id: str, splits: SplitOptions | None = None) -> ProposedReviews:
    """
    Opens a pull request on a dataset that [`push_dataset`] filled: its tables and card as they are with the reviews
    of the corpus applied. Splits and embeddings stay as they are published, without the rows that go; the takedown
    list beside the database is joined to the published one. Branches, tags and who may see it stay as they are.

    Args:
        data_dir: Holds `surglavi_beta.db` and `reviews.jsonl`.
        repo_id: `NAME/REPOSITORY`, of the same videos.
        splits: Shares of the videos that make further splits; by default as they are published.

    Raises:
        FileNotFoundError: there is no database, or no review.
        ValueError: the repository has no tables, those of other videos, or splits that nothing gives; or as
            [`push_dataset`].
        HubError: the Hub cannot be reached or refuses.
    """
    database = find_database(data_dir)
    listed = database.with_name(TAKEDOWN_NAME)
    asked = Takedown.read(listed) if listed.is_file() else Takedown()
    repository = Repository(repo_id, "dataset", public=None)
    published = Takedown.of_text(repository.read_text(TAKEDOWN_NAME) or "")
    with tempfile.TemporaryDirectory(prefix="surglavi-") as work:
        folder, cache, tables = (Path(work) / name for name in ("corpus", "cache", "tables"))
        for made in (folder, tables):
            made.mkdir()
        both = with_copies(data_dir, asked | published)
        split_of = _published_videos(repository)
        _check_videos(repository, split_of, data_dir, both)
        embeddings = _published_embeddings(repository, Path(work))
        applied = apply_reviews(data_dir, folder / DATABASE_NAME)
        corpus = read_corpus_info(data_dir)
        splits = splits or published_split_options(split_of, repo_id)
        parts = write_tables(folder, both, splits, embeddings, tables, cache)
        files = dataset_files(repository, parts, both, embeddings, corpus, read_annotation_info(data_dir))
        newly = both - published
        title = f"Apply reviews of {_count(applied.changed + applied.added + applied.deleted, 'caption')}"
        description = _description(applied, newly)
        url, changed = repository.propose(files, published_shards(repository), title, description)
    outdated = 0 if embeddings is None else len({*applied.retimed} & {*embeddings.caption_id.tolist()})
    return ProposedReviews(applied, url, tuple(sorted(changed)), count_rows(parts), newly, outdated)


def published_split_options(split_of: Mapping[str, str], what: str) -> SplitOptions:
    """
    Returns the options that give splits which are published.

    Args:
        split_of: The split of each video, by its identity.
        what: Where they are published, for messages.

    Raises:
        ValueError: no options give them.
    """
    places: dict[str, list[float]] = {"test": [], "validation": [], "train": []}
    for identity, split in split_of.items():
        places[split].append(split_position(identity))
    test, validation, train = places.values()
    test_end = _edge(test, [*validation, *train]) if test else 0.0
    validation_end = _edge([*test, *validation], train) if validation else test_end
    options = SplitOptions(validation_fraction=validation_end - test_end, test_fraction=test_end)
    if test_end <= validation_end < 1:
        validation_end = test_end + options.validation_fraction  # as the builder adds them
        found = {
            identity: "test" if place < test_end else "validation" if place < validation_end else "train"
            for identity, place in ((identity, split_position(identity)) for identity in split_of)
        }
        if found == dict(split_of):
            return options
    splits = ", ".join(name for name, there in places.items() if there)
    raise ValueError(
        f"{what} has splits ({splits}) that no fractions give; say with --validation-fraction and --test-fraction "
        "which splits it is to have"
    )


def _edge(below: Sequence[float], above: Sequence[float]) -> float:
    """Returns the shortest decimal fraction above some places and not above others; NaN where there is none."""
    low, high = max(below), min(above, default=math.nextafter(1, 0))
    for digits in range(1, _DIGITS + 1):
        edge = math.floor(high * 10**digits) / 10**digits
        if low < edge <= high:
            return edge
    return high if low < high else math.nan


def _published_videos(repository: Repository) -> dict[str, str]:
    """Returns the split of each published video, by its identity."""
    found = {}
    for name in sorted(published_shards(repository)):
        config, _, file = name.partition("/")
        if config == "videos":
            split = file.partition("-")[0]
            table = _read(repository, name).select(["youtube_id", "url", "name"])
            found.update(dict.fromkeys(video_identities(table).to_pylist(), split))
    if not found:
        state = "has no tables of surglavi push-dataset" if repository.exists else "is no dataset this login may see"
        raise ValueError(f"{repository.repo_id} {state}; push the corpus with surglavi push-dataset first")
    return found


def _check_videos(
    repository: Repository, split_of: Mapping[str, str], data_dir: str | os.PathLike, takedown: Takedown
) -> None:
    """Makes sure that a repository is of the same videos: a private corpus must not come to another's."""
    videos = load_dataset("surglavi", "videos", data_dir=os.fspath(data_dir), split="train").data.table
    own = {*video_identities(takedown.applied_to(videos)).to_pylist()}
    if more := own - {*split_of}:
        raise ValueError(
            f"{data_dir} has {_count(len(more), 'video')} that {repository.repo_id} has not; is it of another corpus? "
            "If not, surglavi push-dataset publishes them"
        )
    if missing := {*split_of} - {*video_identities(videos).to_pylist()}:
        raise ValueError(
            f"{repository.repo_id} has {_count(len(missing), 'video')} that {data_dir} has not; apply reviews to the "
            "version of the corpus that is published"
        )


def _published_embeddings(repository: Repository, folder: Path) -> Embeddings | None:
    names = [name for name in sorted(published_shards(repository)) if name.startswith(f"{EMBEDDINGS}/")]
    if not names:
        return None
    path = folder / "embeddings.parquet"
    pq.write_table(pa.concat_tables([_read(repository, name) for name in names]), path)
    return replace(Embeddings.read(path), source=f"{repository.repo_id}/{EMBEDDINGS}")


def _read(repository: Repository, name: str) -> pa.Table:
    path = repository.download(name)
    with reading(f"{name} of {repository.repo_id}", "push it again with surglavi push-dataset"):
        return pq.read_table(path)


def _description(applied: AppliedReviews, newly: Takedown) -> str:
    counts = {"changed": applied.changed, "added": applied.added, "deleted": applied.deleted}
    lines = [f"{_count(count, 'caption')} {what}." for what, count in counts.items() if count]
    if len(newly):
        lines.append(f"{len(newly):,} new entries of `{TAKEDOWN_NAME}`; earlier commits still have their rows.")
    return "\n".join([*lines, "", "Made with `surglavi review apply`."]).strip()


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
