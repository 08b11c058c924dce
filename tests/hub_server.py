# SPDX-License-Identifier: Apache-2.0
"""A small Hub over real HTTP on loopback, for huggingface_hub, datasets and transformers; with faults on demand."""

import hashlib
import itertools
import json
import re
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from .hub_store import SDKS, HubError, Repository, card_problems


@dataclass
class Answer:
    content: object = field(default_factory=dict)  # bytes, or what becomes JSON
    status: int = 200
    headers: dict = field(default_factory=dict)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self.server.hub.connections.add(self.connection)

    def finish(self):
        self.server.hub.connections.discard(self.connection)
        super().finish()

    def _serve(self):
        hub, url = self.server.hub, urlsplit(self.path)
        hub.requests.append(f"{self.command} {url.path}")
        fault = hub.take_fault(self.command, url.path)
        length = int(self.headers.get("Content-Length") or 0)
        if fault.kind == "before":
            self.rfile.read(length // 2)
            return self._hang_up()
        self.url, self.query, self.body = url.path, parse_qs(url.query), self.rfile.read(length)
        if fault.kind == "garble":
            answer = Answer(fault.content, 200, {"Content-Type": fault.content_type})
        elif fault.kind == "fail":
            answer = Answer({"error": fault.message}, fault.status, {"X-Error-Message": fault.message} | fault.headers)
        else:
            answer = hub.answer(self)
        if fault.kind == "after":
            return self._hang_up()
        is_bytes = isinstance(answer.content, bytes)
        content = answer.content if is_bytes else json.dumps(answer.content).encode()
        self.send_response(answer.status)
        kind = "application/octet-stream" if is_bytes else "application/json; charset=utf-8"
        for name, value in ({"Content-Type": kind, "Content-Length": str(len(content))} | answer.headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else content[: fault.after_bytes])
        if fault.kind == "cut":
            self._hang_up()

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _serve

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    @property
    def json(self) -> dict:
        return json.loads(self.body or b"{}")

    def flag(self, name: str) -> bool:
        return self.query.get(name, [""])[0].lower() in ("true", "1")

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass  # the client went away


class HubServer:
    """
    Holds models as `repositories["me/x"]`, datasets as `repositories["datasets/me/x"]` and Spaces as
    `repositories["spaces/me/x"]`, see `Repository`, and the LFS `objects` by their SHA-256. `tokens` tells whose each
    token is and what it may do, "read" or "write"; everybody belongs to the `organizations`. `requests` lists what was
    asked, `errors` what this server itself stumbled on.
    """

    def __init__(self):
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.tokens: dict[str, tuple[str, str]] = {"hf_test": ("me", "write")}
        self.organizations: set[str] = set()
        self.page_size = 1000  # entries of a tree
        self.requests: list[str] = []
        self.errors: list[Exception] = []
        self.faults: list[SimpleNamespace] = []  # those to come
        self.connections: set[socket.socket] = set()
        self._clock, self._lock = itertools.count(), threading.RLock()
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.hub = self
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def add(self, key: str, files: dict[str, bytes] | None = None, visibility: str = "public") -> Repository:
        """Makes a repository, with one pushed commit if there are files, without asking who may."""
        with self._lock:
            repository = self.repositories[key] = Repository(key, visibility, self._clock)
            if files:
                repository.commit("Add files", files)
            return repository

    def fail(self, status, times=1, path="/preupload/", headers=None, message="told to fail", method=None) -> None:
        """The next `times` requests whose path holds `path` are answered with this status, and not carried out."""
        self._plan("fail", path, times, method, status=status, headers=headers or {}, message=message)

    def garble(self, content: bytes, path="/", times=1, method=None, content_type="text/html") -> None:
        """The next requests are answered with this, as by a login page of the network, and not carried out."""
        self._plan("garble", path, times, method, content=content, content_type=content_type)

    def cut(self, path: str, after_bytes: int, times: int = 1, method: str = "GET") -> None:
        """The next answers end after so many bytes of the body, though more are announced."""
        self._plan("cut", path, times, method, after_bytes=after_bytes)

    def drop(self, path: str, times: int = 1, when: str = "before", method: str | None = None) -> None:
        """The next requests get no answer: "before", half read and not carried out, or "after", carried out."""
        if when not in ("before", "after"):
            raise ValueError(when)
        self._plan(when, path, times, method)

    def _plan(self, kind: str, path: str, times: int, method: str | None, after_bytes=None, **more) -> None:
        fault = SimpleNamespace(kind=kind, path=path, times=times, method=method, after_bytes=after_bytes, **more)
        with self._lock:
            self.faults.append(fault)

    def take_fault(self, method: str, path: str) -> SimpleNamespace:
        with self._lock:
            for fault in self.faults:
                if fault.path in path and fault.method in (None, method):
                    fault.times -= 1
                    self.faults = [fault for fault in self.faults if fault.times > 0]
                    return fault
        return SimpleNamespace(kind="", after_bytes=None)

    def answer(self, request: Handler) -> Answer:
        try:
            with self._lock:
                found = self._answer(request, request.command, request.url)
            return found if isinstance(found, Answer) else Answer(found)
        except HubError as error:
            return Answer(error.content, error.status, error.headers)
        except Exception as error:
            self.errors.append(error)
            return Answer({"error": f"{type(error).__name__}: {error}"}, 500)

    def _answer(self, request: Handler, method: str, path: str):
        if match := re.fullmatch(r"/objects/([0-9a-f]{64})(/verify)?", path):
            return self._store(request, match[1], is_check=bool(match[2]))
        token = (request.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and token not in self.tokens:
            raise HubError(401, "Invalid credentials in Authorization header")
        user = self.tokens.get(token)
        if path == "/api/validate-yaml":
            errors, warnings = (
                [{"message": text} for text in part] for part in card_problems(request.json["content"])
            )
            return Answer({"errors": errors, "warnings": warnings}, 400 if errors else 200)
        if path in ("/api/whoami-v2", "/api/repos/create", "/api/repos/delete"):
            if user is None:
                raise HubError(401, "Invalid username or password.")
            return self._whoami(*user) if path == "/api/whoami-v2" else self._create_or_delete(request, user)
        if match := re.fullmatch(r"/(datasets/|spaces/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            proposes = "ref" not in request.json  # to a pull request, which those may open who may not write
            self._repository(f"{match[1] or ''}{match[2]}", user, writes=True, proposes=proposes)
            return {"transfer": "basic", "objects": [self._upload_to(item) for item in request.json["objects"]]}
        if match := re.fullmatch(r"/(datasets/|spaces/)?(.+?)/resolve/([^/]+)/(.+)", path):
            repository = self._repository(f"{match[1] or ''}{match[2]}", user, opens=True)
            return Answer(*repository.open(unquote(match[3]), unquote(match[4]), request.headers.get("Range") or ""))
        pattern = r"/api/(models|datasets|spaces)/([^/]+(?:/[^/]+)?)(?:/([a-z-]+)(?:/([^/]+)(?:/(.*))?)?)?"
        if not (match := re.fullmatch(pattern, path)):  # such as the Parquet export of datasets-server
            raise HubError(404, "Not found")
        key, action = match[2] if match[1] == "models" else f"{match[1]}/{match[2]}", match[3] or "revision"
        writes = method not in ("GET", "HEAD") and action != "paths-info"
        proposes = action in ("preupload", "commit") and request.flag("create_pr")
        repository = self._repository(key, user, writes, action in ("tree", "paths-info"), proposes)
        revision, path = unquote(match[4] or "main"), unquote(match[5] or "")
        return self._act(request, f"{method} {action}", repository, revision, path, user)

    def _repository(
        self, key: str, user: tuple | None, writes: bool = False, opens: bool = False, proposes: bool = False
    ) -> Repository:
        """
        Returns a repository to one who may have it, or raises what the Hub answers; where one `proposes` what is
        written, to one who may see it.
        """
        repository = self.repositories.get(key)
        namespace = key.removeprefix("datasets/").removeprefix("spaces/").split("/")[0]
        if user is None and (repository is None or repository.private or writes):
            raise HubError(401, "Invalid username or password.", "RepoNotFound")
        if repository is None or (repository.private and namespace not in (user[0], *self.organizations)):
            raise HubError(404, "Repository not found", "RepoNotFound")
        if writes:
            self._check_write(user, user[0] if proposes else namespace)
        if opens and repository.gated and (user is None or user[0] not in repository.authorized):
            message = f"Access to {repository.kind} {repository.name} is restricted and you are not in the authorized "
            message += f"list. Visit {self.url}/{key} to ask for access."
            raise HubError(401 if user is None else 403, message, "GatedRepo")
        return repository

    def _check_write(self, user: tuple[str, str], namespace: str) -> None:
        if user[1] != "write":
            raise HubError(403, "Forbidden: you don't have write permission with a token that may only read")
        if namespace not in (user[0], *self.organizations):
            raise HubError(403, f"Forbidden: you don't have write permission in the namespace {namespace}")

    def _whoami(self, name: str, role: str) -> dict:
        found = {"type": "user", "id": hashlib.sha1(name.encode()).hexdigest()[:24], "name": name, "fullname": name}
        found["auth"] = {"type": "access_token", "accessToken": {"displayName": "test", "role": role}}
        return found | {"orgs": [{"type": "org", "name": name} for name in sorted(self.organizations)]}

    def _create_or_delete(self, request: Handler, user: tuple[str, str]) -> dict:
        content = request.json
        namespace = content.get("organization") or user[0]
        self._check_write(user, namespace)
        kind, name = content.get("type") or "model", f"{namespace}/{content['name']}"
        key = name if kind == "model" else f"{kind}s/{name}"
        if request.command == "DELETE":
            self._repository(key, user, writes=True)
            del self.repositories[key]
            return {}
        found = {"url": f"{self.url}/{key}", "name": name, "id": name}
        if key in self.repositories:
            raise HubError(409, f"You already created this {kind} repo", **found)
        if kind == "space" and content.get("sdk") not in SDKS:
            raise HubError(400, f"A Space needs an SDK, one of {', '.join(SDKS)}")
        self.add(key, visibility=content.get("visibility") or ("private" if content.get("private") else "public"))
        return found

    def _upload_to(self, item: dict) -> dict:
        found, url = {"oid": item["oid"], "size": item["size"]}, f"{self.url}/objects/{item['oid']}"
        if item["oid"] in self.objects:
            return found
        return found | {
            "actions": {"upload": {"href": f"{url}?size={item['size']}"}, "verify": {"href": f"{url}/verify"}}
        }

    def _store(self, request: Handler, oid: str, is_check: bool) -> dict:
        sent = hashlib.sha256(request.body).hexdigest(), [str(len(request.body))]
        if oid not in self.objects if is_check else sent != (oid, request.query.get("size")):
            raise HubError(404 if is_check else 400, "The object is not there, or not what was announced")
        self.objects.setdefault(oid, request.body)
        return {}

    def _act(
        self, request: Handler, action: str, repository: Repository, revision: str, path: str, user: tuple | None
    ):
        """Answers what is asked of one repository."""
        if action == "DELETE tag":
            if repository.tags.pop(revision, None) is None:
                raise HubError(404, f"Tag not found: {revision}", "RevisionNotFound")
            return {}
        if action == "GET discussions" and revision != "main":
            return repository.discussion_details(repository.pull_request(revision))
        commit = repository.find(revision)
        match action:
            case "GET revision":
                return repository.info(commit, request.flag("blobs"))
            case "GET refs":
                return repository.refs(request.flag("include_prs"))
            case "GET commits":
                return repository.log(commit)
            case "GET discussions":
                asked = {name: values[0] for name, values in request.query.items() if name in ("author", "status")}
                asked = {name: value for name, value in asked.items() if value != "all"}
                found = [one for one in repository.pull_requests if all(one[name] == asked[name] for name in asked)]
                found = [] if request.query.get("type") == ["discussion"] else found
                start = int(request.query.get("p", ["0"])[0]) * self.page_size
                shown = [repository.discussion(one) for one in found[start : start + self.page_size]]
                return {"discussions": shown, "count": len(found), "start": start}
            case "GET tree":
                found = repository.tree(commit, path, request.flag("recursive"), request.flag("expand"))
                start = int(request.query.get("cursor", ["0"])[0])
                stop = start + self.page_size
                query = urlencode({name: values[0] for name, values in request.query.items()} | {"cursor": stop})
                more = {"Link": f'<{self.url}{request.url}?{query}>; rel="next"'} if stop < len(found) else {}
                return Answer(found[start:stop], 200, more)
            case "POST paths-info":
                form = parse_qs(request.body.decode())
                entries = repository.entries(commit, form.get("expand") == ["true"])
                return [entries[name] for name in form.get("paths", []) if name in entries]
            case "POST preupload":
                return {"files": [repository.preupload(commit, file) for file in request.json["files"]]}
            case "POST commit" if revision == "main" and request.flag("create_pr"):
                made = repository.apply(request.body, self.objects, revision, author=user[0])
                found = self._committed(repository, made["commits"][0])
                return found | {"pullRequestUrl": f"{self.url}/{repository.key}/discussions/{made['number']}"}
            case "POST commit" if revision == "main" or revision.startswith("refs/pr/"):
                return self._committed(repository, repository.apply(request.body, self.objects, revision))
            case "POST tag":
                if request.json["tag"] in repository.tags:
                    raise HubError(409, "Tag reference exists already")
                if commit not in repository.history:
                    raise HubError(404, f"This is not served: a tag of a pull request, {revision}")
                repository.tags[request.json["tag"]] = repository.history.index(commit)
                return {}
            case "POST branch":  # found, so it is there
                raise HubError(409, "Reference already exists")
            case "PUT settings":
                repository.update(
                    {name: request.json[name] for name in ("visibility", "gated") if name in request.json}
                )
                return {}
        raise HubError(404, f"This is not served: {action} {revision}")

    def _committed(self, repository: Repository, commit: dict) -> dict:
        name = commit["id"]
        return {"success": True, "commitOid": name, "commitUrl": f"{self.url}/{repository.key}/commit/{name}"}
