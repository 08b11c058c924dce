# SPDX-License-Identifier: Apache-2.0
"""`explore`: opens a corpus, a benchmark and a model, and serves them to a browser."""

import errno
import ipaddress
import logging
import os
import secrets
import socket
import sys
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..options import option
from .answers import Answers
from .corpus import Corpus
from .facets import Facets
from .jobs import Jobs
from .meanings import Meanings
from .pages import Explorer
from .words import WordIndex

if TYPE_CHECKING:
    from ..evaluation import VideoEncoder
    from .model import AnsweringModel

logger = logging.getLogger(__name__)

CACHE_NAME = "explorer"  # the folder beside the database
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class ExploreOptions:
    """
    Args:
        dataset: A dataset on the Hub that `surglavi push-dataset` filled, instead of a database.
        index: Embeddings of clips.
        benchmark: To be shown with its reports.
        root: Of the benchmark's data.
        reports: Folders that are searched for reports.
        cache_dir: Where what is computed is kept.
        review: Whether reviews are taken.
        host, port: To listen at.
        allowed_hosts: Further names that the server goes by.
        public: Whether everybody may look, without a token; nobody may change anything or start work.
        browser: Whether a browser is opened.

    Raises:
        ValueError: options that do not go together.
    """

    dataset: str | None = option(
        None, "A dataset on the Hub that surglavi push-dataset filled, instead of a database.", metavar="ID"
    )
    index: str | None = option(
        None,
        "Embeddings of clips, to search by meaning: a folder of surglavi search, a file of surglavi embed, or hub:ID.",
        metavar="I",
    )
    benchmark: str | None = option(None, "Benchmark to show with its reports.", metavar="YAML")
    root: str | None = option(None, "Folder of the benchmark's data (default: that of the YAML file).", metavar="DIR")
    reports: tuple[str, ...] = option(
        ("evaluation", "comparison"), "Folders to look for reports of the benchmark in.", metavar="DIR"
    )
    cache_dir: str | None = option(
        None, "Where what is computed is kept (default: explorer/ beside the database).", metavar="DIR"
    )
    review: bool = option(False, "Take reviews: corrections of captions, and takedowns.")
    host: str = option("127.0.0.1", "Address to listen at; others than this machine's can reach any but this one.")
    port: int = option(0, "To listen at; 0 for any that is free.", least=0)
    allowed_hosts: tuple[str, ...] = option(
        (), "Further names that the server is called by, such as lab.example.org or *.example.org.", metavar="NAME"
    )
    public: bool = option(False, "Let everybody look, without a token; nobody can change anything or start work.")
    browser: bool = option(True, "Open a browser.")

    def __post_init__(self):
        if self.public and self.review:
            raise ValueError("--public and --review: reviews are of people who know the token; leave one out")
        if self.port > 65535:
            raise ValueError(f"port={self.port}, expected 0 to 65535")
        if wrong := [name for name in self.allowed_hosts if "*" in name.removeprefix("*.") or "/" in name]:
            raise ValueError(f"--allowed-hosts {wrong[0]!r}, expected a name, or *.NAME")


def open_explorer(
    data_dir: str | os.PathLike | None,
    options: ExploreOptions,
    load_model: "Callable[[], VideoEncoder] | None" = None,
) -> Explorer:
    """
    Reads what is to be shown.

    Args:
        data_dir: Folder of the database, or of the videos of `options.dataset`; None where there is a benchmark alone.
        options: What else.
        load_model: Returns the model that answers.

    Raises:
        FileNotFoundError, OSError, ValueError: something cannot be read; the message names it.
    """
    if data_dir is None and options.dataset is None and options.benchmark is None:
        raise ValueError("nothing to explore; name --data-dir DIR, --dataset ID or --benchmark YAML")
    corpus = words = facets = answers = meanings = reports = None
    cache = None
    if options.review and data_dir is None:
        raise ValueError("--review needs a folder to write to; name --data-dir, too")
    if data_dir is not None or options.dataset is not None:
        if options.dataset is not None:
            corpus = Corpus.of_hub(options.dataset, data_dir=data_dir)
        else:
            corpus = Corpus.of_database(data_dir)
        if options.review:
            _check_writable(corpus)
        cache = _cache(corpus, options.cache_dir)
        words = WordIndex(corpus, cache / "words.db")
        facets = Facets(corpus, words)
        meanings = Meanings(corpus, words, options.index, cache / "vectors") if options.index else None
        model = _model(cache / "answers", corpus, load_model, options.public)
        if model is not None and meanings is not None:
            model.check_is_of(meanings)
        if model is not None or meanings is not None:
            answers = Answers(corpus, Jobs(), model, meanings)
    if options.benchmark is not None:
        from .reports import Reports

        beside = Path(options.benchmark).parent / "evaluation"
        reports = Reports(options.benchmark, [*options.reports, beside], options.root)
    return Explorer(
        *(corpus, words, facets, answers, meanings, reports, cache),
        can_review=options.review,
        public=options.public,
    )


def _model(
    folder: Path, corpus: Corpus, load: "Callable[[], VideoEncoder] | None", public: bool
) -> "AnsweringModel | None":
    if load is None and not folder.is_dir():
        return None  # without PyTorch, then
    from .model import AnsweringModel

    if load is None:
        return AnsweringModel.kept(folder, corpus.library)
    return AnsweringModel(folder, corpus.library, load(), keeps_texts=not public)  # or anybody could fill the disk


def _cache(corpus: Corpus, cache_dir: str | None) -> Path:
    if cache_dir is not None:
        folder = Path(cache_dir).expanduser()
    elif corpus.database is not None:
        folder = corpus.database.parent / CACHE_NAME
    else:
        named = "".join(letter if letter.isalnum() else "-" for letter in corpus.title)
        folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "surglavi_hf" / CACHE_NAME / named
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError
    except OSError as error:
        raise OSError(
            f"{folder} cannot be written to, where the index goes; name another folder with --cache-dir"
        ) from error
    return folder


def _check_writable(corpus: Corpus) -> None:
    if not os.access(corpus.data_dir, os.W_OK):
        raise PermissionError(
            f"{corpus.data_dir} cannot be written to, where reviews go; copy the database, or get rights"
        )


def serve(explorer: Explorer, options: ExploreOptions, say: Callable[[str], None]) -> None:
    """
    Serves until it is stopped.

    Args:
        explorer: What.
        options: Where, and to whom.
        say: Told the address, and what is unsafe.

    Raises:
        OSError: the port cannot be had.
    """
    import uvicorn

    from .app import make_app

    listening = _listen(options.host, options.port)
    port = listening.getsockname()[1]
    token = None if options.public else secrets.token_urlsafe(24)
    is_local = options.host in _LOOPBACK
    shown = f"[{options.host}]" if ":" in options.host else options.host
    others: list[str] = []
    if _is_any(options.host):
        shown = socket.gethostname()
        others = _addresses(shown)
    address = f"http://{shown}:{port}/" + ("" if token is None else f"?token={token}")
    names = [*_LOOPBACK, options.host, shown, *others, *options.allowed_hosts]
    if not is_local:
        who = "anybody" if options.public else "whoever has the token"
        say(
            f"warning: reachable from other machines by {who}, and not encrypted; better leave --host out and use "
            f"ssh -L {port}:127.0.0.1:{port} THIS_MACHINE; other names of it need --allowed-hosts"
        )
    app = make_app(explorer, token, port, list(dict.fromkeys(names)))
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=2, server_header=False, lifespan="off"
    )
    say(f"exploring {explorer.about()['title']} at {address}")
    say("Ctrl-C ends it")
    if options.browser and is_local and _has_screen():
        webbrowser.open(address)
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        explorer.close()
        listening.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        other = "--port" if error.errno == errno.EADDRINUSE else "--host"
        raise OSError(
            f"{host}, port {port}, cannot be listened at ({error.strerror}); name another {other}"
        ) from error
    return listening


def _addresses(name: str) -> list[str]:
    """The addresses of this machine by its name; none where its name is not known."""
    try:
        return [str(address[0]) for *_, address in socket.getaddrinfo(name, None)]
    except OSError:
        return []


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _has_screen() -> bool:
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
