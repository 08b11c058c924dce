# SPDX-License-Identifier: Apache-2.0
"""SurgLaVi's tables to a dataset repository."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data import TAKEDOWN_NAME, CorpusInfo, SplitOptions, Takedown, find_database, read_corpus_info
from ..data.corpus_info import AnnotationInfo, read_annotation_info
from ..data.embeddings import EMBEDDINGS, Embeddings
from .dataset_card import COMPUTED, render_dataset_card
from .dataset_tables import SHARD_NAME, SplitTables, published_splits, unknown_entries, with_copies, write_shards
from .guard import check_dataset_files
from .repository import Content, Pushed, Repository


@dataclass(frozen=True)
class PushedDataset:
    """
    Args:
        pushed: Where it is.
        rows: Of each config and split.
        takedown: What was left out, earlier entries included.
        newly_taken_down: What earlier commits have rows of, since it was not on the published list before.
        unknown: Entries of the given list that name nothing in the database.
    """

    pushed: Pushed
    rows: dict[tuple[str, str], int]
    takedown: Takedown
    newly_taken_down: Takedown
    unknown: Takedown


def push_dataset(
    data_dir: str | os.PathLike,
    repo_id: str,
    embeddings: str | os.PathLike | None = None,
    takedown: str | os.PathLike | None = None,
    splits: SplitOptions | None = None,
    public: bool = False,
    tag: str | None = None,
) -> PushedDataset:
    """
    Publishes the tables of the database in a folder as Parquet, in one commit: what `load_dataset("surglavi", config,
    data_dir)` gives without `clip`, for every config and split, and a card. No byte of video goes along. What is there
    of an earlier push is replaced, the words that others wrote into the card stay, and the same data twice make no
    commit.

    Args:
        data_dir: Holds `surglavi_beta.db`.
        repo_id: `NAME/REPOSITORY`, made where it is absent.
        embeddings: Parquet file of clip embeddings, as `surglavi embed` writes it. Published ones go where it is not
            given.
        takedown: Text file of what is left out, one a line: YouTube ids, addresses or names of videos, captions as
            `caption:NUMBER`. It is published, and joined to the list that is published already.
        splits: Shares of the videos that make further splits; by default there are none.
        public: Whether everybody may see the repository.
        tag: Version of the commit; by default the next of v1, v2, ….

    Raises:
        FileNotFoundError: the database or a named file is not there.
        ValueError: something is out of range, or would publish what must not be.
        HubError: the Hub cannot be reached or refuses. Files, commits and tags are unchanged then; where only the tag
            or the visibility failed, after the commit, it says so.
    """
    given = Embeddings.read(embeddings) if embeddings is not None else None
    asked = Takedown.read(takedown) if takedown is not None else Takedown()
    find_database(data_dir)  # before the Hub is asked anything
    repository = Repository(repo_id, "dataset", public)
    published = Takedown.of_text(repository.read_text(TAKEDOWN_NAME) or "")
    both, corpus = with_copies(data_dir, asked | published), read_corpus_info(data_dir)
    annotation = read_annotation_info(data_dir)
    with tempfile.TemporaryDirectory(prefix="surglavi-") as folder:
        parts = write_tables(data_dir, both, splits or SplitOptions(), given, Path(folder))
        files = dataset_files(repository, parts, both, given, corpus, annotation)
        earlier = published_shards(repository)
        pushed = repository.push(files, earlier, f"Push tables of {corpus.title if corpus else 'SurgLaVi'}", tag)
    newly = (both - published) if earlier else Takedown()
    return PushedDataset(pushed, count_rows(parts), both, newly, unknown_entries(data_dir, asked))


def write_tables(
    data_dir: str | os.PathLike,
    takedown: Takedown,
    splits: SplitOptions,
    embeddings: Embeddings | None,
    folder: Path,
    cache_dir: Path | None = None,
) -> list[SplitTables]:
    """
    Writes all that is published of the database in a folder, as [`published_splits`] gives it.

    Args:
        data_dir, takedown, splits, cache_dir: Of these.
        embeddings: To publish beside captions.
        folder: Where Parquet files are written.

    Raises:
        ValueError: there are no captions, or none that has one of the embeddings.
    """
    parts, embedded = [], []
    for config, split, dataset in published_splits(data_dir, takedown, splits, cache_dir):
        parts.append(write_shards(config, split, dataset, folder))
        if config == "all" and embeddings is not None:
            embedded.append((split, embeddings.of(dataset.data.table["caption_id"].to_numpy())))
    if not {"all", "videos"} <= {part.config for part in parts}:
        raise ValueError(f"{data_dir} has no clip-caption pairs to publish; see surglavi check {data_dir}")
    parts += [write_shards(EMBEDDINGS, split, dataset, folder) for split, dataset in embedded if len(dataset)]
    if embeddings is not None and parts[-1].config != EMBEDDINGS:
        raise ValueError(
            f"none of the {len(embeddings.caption_id):,} embeddings of {embeddings.source} is of a caption that is "
            "published; embed the clips of this database"
        )
    return parts


def dataset_files(
    repository: Repository,
    parts: Sequence[SplitTables],
    takedown: Takedown,
    embeddings: Embeddings | None,
    corpus: CorpusInfo | None,
    annotation: AnnotationInfo | None,
) -> dict[str, Content]:
    """
    Returns the files of a dataset by path: tables, the takedown list, and the card with the words that others wrote
    into that of the repository. Raises ValueError where one of them must not be published.
    """
    card = render_dataset_card(repository.repo_id, parts, takedown, embeddings, corpus, annotation)
    files: dict[str, Content] = {name: path for part in parts for name, path in part.files.items()}
    files["README.md"] = card.merged_into(repository.read_text("README.md"), COMPUTED).encode()
    if len(takedown):
        files[TAKEDOWN_NAME] = takedown.to_text().encode()
    check_dataset_files(files)
    return files


def published_shards(repository: Repository) -> set[str]:
    """Returns the paths of the tables that an earlier push left."""
    return {name for name in repository.files if SHARD_NAME.fullmatch(name)}


def count_rows(parts: Sequence[SplitTables]) -> dict[tuple[str, str], int]:
    """Returns how many rows each config and split has."""
    return {(part.config, part.split): len(part.dataset) for part in parts}
