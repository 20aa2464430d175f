"""A server on loopback that answers as the Hugging Face Hub does, as far as models are read and uploaded.

Files of *.keras and *.onnx go through LFS (batch, PUT to a storage without the token, verify), all others in
the commit itself, as the Hub's .gitattributes says.
"""

import base64
import hashlib
import http.server
import json
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

WRITER, READER = "hf_writer", "hf_reader"  # tokens; the writer belongs to the owner "someone"
LARGE = (".keras", ".onnx")


@dataclass
class Repository:
    """Files of a repository at its newest commit, as a folder."""

    root: Path
    private: bool = False
    commits: int = 0

    @property
    def sha(self):
        return f"{0x0123456789ABCDEF0123456789ABCDEF01234567 + self.commits:040x}"


class HubServer(http.server.ThreadingHTTPServer):
    """`folder` has the repositories that are created; `blobs` is the storage of large files."""

    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.repositories = Path(folder), {}
        self.asked, self.instead, self.blobs, self.summaries, self.bare = [], {}, {}, [], False
        self.before_commit, self.hidden = lambda: None, set()

    def add(self, name, root, *, private=False):
        """Serve the files of a folder as the repository `name`."""
        self.repositories[name] = Repository(Path(root), private)
        return self.repositories[name]

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, code, content=b"{}", **headers):
        content = json.dumps(content).encode() if isinstance(content, (dict, list)) else content
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def token(self):
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.partition("?")[0]
        self.server.asked.append((self.command, path))
        if self.refused():
            return
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/[\w.]+)?", path):
            if repository := self.visible(match[1]):
                self.answer(200, self.info(match[1], repository))
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([0-9a-f]{40})/(.+)", path):
            repository = self.visible(match[1])
            if not repository:
                return
            file = repository.root / match[3]
            if match[2] != repository.sha or not file.is_file():
                self.answer(404, X_Error_Code="EntryNotFound")
                return
            content = self.server.instead.get(file.name, file.read_bytes())
            etag = f'"{hashlib.sha256(content).hexdigest()}"'
            self.answer(200, content, ETag=etag, X_Repo_Commit=repository.sha)
        else:
            self.answer(404, X_Error_Code="RepoNotFound")

    def do_PUT(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        path = self.path
        self.server.asked.append((self.command, path))
        assert "Authorization" not in self.headers, "the token went to the storage"
        if path != f"/storage/{hashlib.sha256(content).hexdigest()}":
            self.answer(400)
            return
        self.server.blobs[path.rsplit("/", 1)[1]] = content
        self.answer(200)

    def do_POST(self):
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.partition("?")[0]
        self.server.asked.append((self.command, path))
        if self.refused():
            return
        if path == "/api/validate-yaml":
            errors = wrong_metadata(json.loads(content)["content"])
            self.answer(
                400 if errors else 200, {"errors": [{"message": text} for text in errors], "warnings": []}
            )
        elif path == "/api/repos/create":
            self.create(json.loads(content))
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/main", path):
            if self.writable(match[1]):
                self.answer(200, {"files": [mode_of(row["path"]) for row in json.loads(content)["files"]]})
        elif match := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            if self.writable(match[1]):
                objects = [self.lfs_actions(row) for row in json.loads(content)["objects"]]
                self.answer(200, {"transfer": "basic", "objects": objects})
        elif path == "/lfs/verify":
            row = json.loads(content)
            known = len(self.server.blobs.get(row["oid"], b"")) == row["size"]
            self.answer(200 if known else 404)
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
            self.server.before_commit()
            if repository := self.writable(match[1]):
                self.commit(match[1], repository, [json.loads(line) for line in content.splitlines()])
        else:
            self.answer(404, X_Error_Code="RepoNotFound")

    def refused(self):
        """A token that nobody has is refused everywhere."""
        if self.token() in ("", WRITER, READER):
            return False
        self.answer(401, X_Error_Message="Invalid credentials in Authorization header")
        return True

    def visible(self, name):
        repository = self.server.repositories.get(name)
        hidden = name in self.server.hidden  # a private one of somebody else
        if repository is None or hidden or (repository.private and self.token() != WRITER):
            self.answer(404 if self.token() else 401, X_Error_Code="RepoNotFound")
            return None
        return repository

    def writable(self, name):
        repository = self.visible(name)
        if repository and self.token() != WRITER:
            self.answer(403, X_Error_Message="You don't have the rights to write here")
            return None
        return repository

    def info(self, name, repository):
        files = sorted(path for path in repository.root.rglob("*") if path.is_file())
        siblings = [self.sibling(path, repository.root) for path in files]
        return {"id": name, "sha": repository.sha, "private": repository.private, "siblings": siblings}

    def sibling(self, path, root):
        """Return what the Hub lists of a file: of large ones the sha256, of all the blob of git."""
        content, name = path.read_bytes(), path.relative_to(root).as_posix()
        row = {"rfilename": name, "size": len(content)}
        if self.server.bare:  # a mirror
            return row
        if path.suffix in (".keras", ".onnx"):
            sha256 = hashlib.sha256(content).hexdigest()
            return row | {
                "blobId": "0" * 40,
                "lfs": {"size": len(content), "sha256": sha256, "pointerSize": 134},
            }
        return row | {"blobId": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()}

    def create(self, wanted):
        name = f"{wanted['organization']}/{wanted['name']}"
        if self.token() != WRITER or wanted["organization"] != "someone":
            self.answer(403, X_Error_Message="You don't have the rights to create a model there")
        elif name in self.server.repositories:
            self.answer(409, X_Error_Message="You already created this model repo")
        else:
            root = self.server.folder / name
            root.mkdir(parents=True)
            (root / ".gitattributes").write_text("*.keras filter=lfs\n*.onnx filter=lfs\n")
            private = wanted.get("private", wanted.get("visibility") == "private")
            self.server.add(name, root, private=private)
            self.answer(200, {"url": f"{self.server.endpoint}/{name}"})

    def lfs_actions(self, row):
        actions = {
            "upload": {"href": f"{self.server.endpoint}/storage/{row['oid']}"},
            "verify": {"href": f"{self.server.endpoint}/lfs/verify"},
        }
        return row if row["oid"] in self.server.blobs else {**row, "actions": actions}

    def commit(self, name, repository, lines):
        header = lines[0]["value"]
        if header.get("parentCommit") not in (None, repository.sha):
            self.answer(412, X_Error_Message="A commit has happened since. Please refresh and try again.")
            return
        for line in lines[1:]:
            value, file = line["value"], repository.root / line["value"]["path"]
            file.parent.mkdir(parents=True, exist_ok=True)
            if line["key"] == "file":
                assert not file.name.endswith(LARGE)
                file.write_bytes(base64.b64decode(value["content"]))
            elif line["key"] == "lfsFile":
                file.write_bytes(self.server.blobs[value["oid"]])
            elif line["key"] == "deletedFile":
                file.unlink()
        self.server.summaries.append(header["summary"])
        repository.commits += 1
        url = f"{self.server.endpoint}/{name}/commit/{repository.sha}"
        self.answer(200, {"commitUrl": url, "commitOid": repository.sha, "success": True})


def mode_of(path):
    return {"path": path, "uploadMode": "lfs" if path.endswith(LARGE) else "regular", "shouldIgnore": False}


def wrong_metadata(card):
    """What the Hub's specification of model cards requires of a header and this one lacks."""
    match = re.match(r"---\n(.*?)\n---\n", card, flags=re.DOTALL)
    if not match:
        return ["no metadata"]
    content, errors = yaml.safe_load(match[1]), []
    if content["license"] == "other" and not re.fullmatch(r"[a-z0-9.-]+", content.get("license_name", "")):
        errors.append("license_name is required with license: other")
    for model in content.get("model-index", []):
        for result in model["results"]:
            if not {"type", "name"} <= result["dataset"].keys() or "type" not in result["task"]:
                errors.append("a result lacks task.type, dataset.type or dataset.name")
            errors += [
                f"{row}: lacks type or value" for row in result["metrics"] if not {"type", "value"} <= {*row}
            ]
    return errors
