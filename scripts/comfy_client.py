"""ComfyUI's HTTP API, as a program uses it: upload, queue a workflow in API format, follow it, read what came out.

The demo and the tests share this room. Notation: a *prompt* is `{node id: {"class_type": ..., "inputs": {...}}}`.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .console import Problem
from .websocket import WebSocket

Prompt = dict[str, dict[str, Any]]
Event = Callable[[str, dict[str, Any]], None]
ANSWER_SECONDS = 30
SILENCE_SECONDS = 1800  # a node may work for long without a word
UPLOAD_KINDS = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".wav": "audio/wav"}


@dataclass
class Run:
    """What became of one prompt.

    status: "success", "error" (while executing), "interrupted" or "rejected" (never started).
    outputs: per node what it showed, as the API has it. seconds: per node that ran, in order of running. errors: per node readable lines;
    the key "" holds those of the whole prompt.
    """

    prompt_id: str = ""
    status: str = "rejected"
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    cached: list[str] = field(default_factory=list)
    errors: dict[str, list[str]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether it ran to its end."""
        return self.status == "success"

    def explain(self) -> str:
        """The errors as lines for a person."""
        return "\n".join(line for lines in self.errors.values() for line in lines) or self.status

    def files(self) -> list[dict[str, str]]:
        """Every file that nodes saved or previewed: dicts with filename, subfolder, type ("output" or "temp"); saved ones first."""
        values = [value for shown in self.outputs.values() for value in shown.values() if isinstance(value, list)]
        files = [item for value in values for item in value if isinstance(item, dict) and "filename" in item]
        return sorted(files, key=lambda item: item.get("type") != "output")


class ComfyClient:
    """A client of the server at `address` ("127.0.0.1:8188"). Raises Problem when the server refuses or is gone."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.client_id = uuid.uuid4().hex
        # A proxy configured for the internet has no say about a server on this machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def answers(self) -> bool:
        """Whether the server is up and ready."""
        try:
            self.get("/system_stats")
        except (Problem, OSError):
            return False
        return True

    def get(self, path: str) -> Any:
        """GET a JSON document."""
        return json.loads(self._request(path))

    def post(self, path: str, document: Any) -> Any:
        """POST a JSON document; returns the JSON answer, None for an empty one."""
        answer = self._request(path, json.dumps(document).encode(), "application/json")
        return json.loads(answer) if answer.strip() else None

    def upload(self, path: Path, name: str | None = None) -> str:
        """Put a file into the server's input folder; returns the name to use in LoadImage, LoadAudio and their like."""
        kind = UPLOAD_KINDS.get(path.suffix.lower(), "application/octet-stream")
        edge = uuid.uuid4().hex
        head = f'--{edge}\r\nContent-Disposition: form-data; name="image"; filename="{name or path.name}"\r\nContent-Type: {kind}\r\n\r\n'
        tail = f'\r\n--{edge}\r\nContent-Disposition: form-data; name="overwrite"\r\n\r\ntrue\r\n--{edge}--\r\n'
        body = head.encode() + path.read_bytes() + tail.encode()
        answer = json.loads(self._request("/upload/image", body, f"multipart/form-data; boundary={edge}"))
        return "/".join(filter(None, (answer.get("subfolder"), answer["name"])))

    def view(self, file: dict[str, str]) -> bytes:
        """The content of one of `Run.files()`."""
        return self._request("/view?" + urllib.parse.urlencode({key: file.get(key, "") for key in ("filename", "subfolder", "type")}))

    def object_info(self, node: str = "") -> dict[str, Any]:
        """The description of one node, or of all of them."""
        return self.get("/object_info" + (f"/{node}" if node else ""))

    def interrupt(self) -> None:
        """Stop the prompt that runs now."""
        self._request("/interrupt", b"{}", "application/json")

    def run(self, prompt: Prompt, on_event: Event | None = None) -> Run:
        """Queue `prompt`, wait for its end and return what became of it; `on_event(kind, data)` sees every message about it.

        Pictures of unfinished work come as kind "preview" with the server's bytes as "content".
        """
        socket = WebSocket(self.address, f"/ws?clientId={self.client_id}", SILENCE_SECONDS)
        try:
            run = self._submit(prompt)
            if run.prompt_id:
                self._follow(socket, run, on_event)
                run.outputs = self.get(f"/history/{run.prompt_id}").get(run.prompt_id, {}).get("outputs", {})
            return run
        except OSError as error:
            raise Problem(f"the connection to ComfyUI broke: {error}") from error
        finally:
            socket.close()

    def _submit(self, prompt: Prompt) -> Run:
        body = json.dumps({"prompt": prompt, "client_id": self.client_id}).encode()
        try:
            answer = json.loads(self._request("/prompt", body, "application/json"))
        except Problem as problem:
            if not isinstance(problem.__cause__, urllib.error.HTTPError):
                raise
            return Run(errors=_rejections(str(problem)))
        return Run(prompt_id=answer["prompt_id"], status="running", errors=_node_errors(answer.get("node_errors") or {}))

    def _follow(self, socket: WebSocket, run: Run, on_event: Event | None) -> None:
        node, since = None, time.monotonic()
        for message in socket:
            if isinstance(message, bytes):
                if on_event:
                    on_event("preview", {"content": message})
                continue
            event = json.loads(message)
            kind, data = event.get("type"), event.get("data", {})
            if data.get("prompt_id") != run.prompt_id:
                continue
            if kind == "executing":
                now = time.monotonic()
                if node is not None:
                    run.seconds[node] = run.seconds.get(node, 0.0) + now - since
                node, since = data["node"], now
            elif kind == "execution_cached":
                run.cached = list(data["nodes"])
            elif kind == "execution_error":
                run.status = "error"
                text = f"{data['node_type']} (node {data['node_id']}): {data['exception_message'].strip()}"
                run.errors.setdefault(data["node_id"], []).append(text)
            elif kind == "execution_interrupted":
                run.status = "interrupted"
            elif kind == "execution_success":
                run.status = "success"
            if on_event:
                on_event(kind, data)
            if kind == "executing" and node is None:  # sent last, after the history was written
                return
        raise ConnectionError("the server ended before the workflow did")

    def _request(self, path: str, body: bytes | None = None, kind: str = "") -> bytes:
        request = urllib.request.Request(f"http://{self.address}{path}", data=body, headers={"Content-Type": kind} if kind else {})
        try:
            with self._opener.open(request, timeout=ANSWER_SECONDS) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise Problem(error.read().decode(errors="replace") or f"{path}: {error}") from error
        except urllib.error.URLError as error:
            raise Problem(f"no answer from http://{self.address}{path}: {error.reason}") from error


def _rejections(answer: str) -> dict[str, list[str]]:
    """What the server says to a prompt that it does not accept, per node."""
    try:
        document = json.loads(answer)
    except ValueError:
        return {"": [answer]}
    errors = _node_errors(document.get("node_errors") or {})
    error = document.get("error") or {}
    if not errors:
        errors[""] = [": ".join(filter(None, (error.get("message"), error.get("details")))) if isinstance(error, dict) else str(error)]
    return errors


def _node_errors(node_errors: dict[str, Any]) -> dict[str, list[str]]:
    return {
        node: [f"{found['class_type']} (node {node}): " + ": ".join(filter(None, (e["message"], e["details"]))) for e in found["errors"]]
        for node, found in node_errors.items()
    }
