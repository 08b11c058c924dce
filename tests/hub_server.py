# SPDX-License-Identifier: Apache-2.0
"""As much of the Hub's API as pushing a model takes, over real HTTP on loopback, with faults on demand."""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class HubServer:
    """
    Holds model repositories: what each commit's files are, and tags. `fail(status, times)` lets the next requests for
    uploads fail.
    """

    def __init__(self):
        self.repositories: dict[str, dict] = {}
        self.objects: dict[str, bytes] = {}
        self.faults: list[int] = []
        self.requests: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = self.path.partition("?")[0]
                hub.requests.append(f"{self.command} {path}")
                if hub.faults and "/preupload/" in path:
                    status, answer = hub.faults.pop(0), {"error": "told to fail"}
                else:
                    status, answer = hub.answer(self.command, path, body)
                content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _serve

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def fail(self, status: int, times: int) -> None:
        self.faults = [status] * times

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, object]:
        content = json.loads(body) if body[:1] == b"{" and not path.endswith("/commit/main") else {}
        if path == "/api/repos/create":
            name = "/".join(part for part in (content.get("organization"), content["name"]) if part)
            if name in self.repositories:
                return 409, {"error": "exists", "url": f"{self.url}/{name}"}
            self.repositories[name] = {"commits": [], "tags": {}, "visibility": content.get("visibility")}
            return 200, {"url": f"{self.url}/{name}", "id": name}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if match := re.fullmatch(r"/objects/([0-9a-f]{64})", path):
            self.objects[match[1]] = body
            return (200, {}) if hashlib.sha256(body).hexdigest() == match[1] else (400, {})
        if match := re.fullmatch(r"/(.+)\.git/info/lfs/objects/batch", path):
            return 200, {"transfer": "basic", "objects": [self._upload_to(item) for item in content["objects"]]}
        if not (match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/.*)?", path)) or match[1] not in self.repositories:
            return 404, {"error": "Repository not found"}
        repository, action = self.repositories[match[1]], match[2] or ""
        if action.startswith("/preupload/"):
            modes = ["lfs" if file["path"].endswith(".safetensors") else "regular" for file in content["files"]]
            files = [
                {"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": None}
                for file, mode in zip(content["files"], modes, strict=True)
            ]
            return 200, {"files": files}
        if action.startswith("/commit/"):
            repository["commits"].append(self._commit(repository, body))
            commit = f"{len(repository['commits']):040x}"
            return 200, {"commitUrl": f"{self.url}/{match[1]}/commit/{commit}", "commitOid": commit, "success": True}
        if action == "/refs":
            tags = [
                {"name": name, "ref": f"refs/tags/{name}", "targetCommit": f"{count:040x}"}
                for name, count in repository["tags"].items()
            ]
            return 200, {"branches": [], "converts": [], "tags": tags}
        if method == "DELETE" and action.startswith("/tag/"):
            return 200, repository["tags"].pop(action.removeprefix("/tag/")) and {}
        if action.startswith("/tag/"):
            repository["tags"][content["tag"]] = len(repository["commits"])
            return 200, {}
        return 200, {"id": match[1], "sha": f"{len(repository['commits']):040x}", "siblings": []}

    def _upload_to(self, item: dict) -> dict:
        found = {"oid": item["oid"], "size": item["size"]}
        if item["oid"] in self.objects:
            return found
        return found | {"actions": {"upload": {"href": f"{self.url}/objects/{item['oid']}"}}}

    def _commit(self, repository: dict, body: bytes) -> dict:
        files = dict(repository["commits"][-1]["files"]) if repository["commits"] else {}
        message = ""
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                message = value["summary"]
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.objects[value["oid"]]
        return {"message": message, "files": files}
