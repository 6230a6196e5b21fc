"""A stand-in of the Hugging Face hub on 127.0.0.1: what pushing and loading a model ask of it."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "a" * 40
Repositories = dict[str, dict[str, bytes]]


@contextmanager
def hub() -> Iterator[tuple[str, Repositories]]:
    """Its address, and the files of every repository by name."""
    repositories: Repositories = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def answer(self, content: object, code: int = 200, **headers: str) -> None:
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def missing(self) -> None:
            self.answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            parts = path.strip("/").split("/")
            api = parts[0] == "api"
            name = "/".join(parts[2:4] if api else parts[:2])
            if name not in repositories:
                self.missing()
            elif api and "tree" in parts:
                files = repositories[name].items()
                self.answer([tree_entry(path, content) for path, content in files])
            elif api:
                siblings = [{"rfilename": file} for file in repositories[name]]
                self.answer({"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings,
                             "tags": [], "private": False, "downloads": 0, "likes": 0})  # fmt: skip
            else:
                content = repositories[name].get("/".join(parts[4:]))
                if content is None:
                    self.answer({"error": "no"}, 404, X_Error_Code="EntryNotFound")
                    return
                etag = f'"{oid(content)}"'
                self.answer(content, ETag=etag, X_Repo_Commit=COMMIT)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            path = urlsplit(self.path).path
            name = "/".join(path.strip("/").split("/")[2:4])
            if "Authorization" not in self.headers:
                self.answer({"error": "Unauthorized"}, 401)
            elif path == "/api/repos/create":
                asked = json.loads(body)
                name = f"{asked.get('organization', 'me')}/{asked['name']}"
                repositories.setdefault(name, {})
                self.answer({"url": f"{address()}/{name}", "id": name, "name": name})
            elif path == "/api/validate-yaml":
                self.answer({"errors": [], "warnings": []})
            elif "preupload" in path:
                asked = json.loads(body)["files"]
                self.answer({"files": [
                    {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for f in asked]})  # fmt: skip
            elif "/commit/" in path:
                for line in body.splitlines():
                    entry = json.loads(line)
                    if entry["key"] == "file":
                        content = base64.b64decode(entry["value"]["content"])
                        repositories[name][entry["value"]["path"]] = content
                url = f"{address()}/{name}/commit/{COMMIT}"
                self.answer({"success": True, "commitOid": COMMIT, "commitUrl": url})
            else:
                self.answer({"error": f"not known here: {path}"}, 501)

    def address() -> str:
        return f"http://127.0.0.1:{server.server_port}"

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield address(), repositories
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def tree_entry(path: str, content: bytes) -> dict[str, object]:
    return {"type": "file", "path": path, "size": len(content), "oid": oid(content)}
