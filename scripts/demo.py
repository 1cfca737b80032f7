"""`make demo`: text, a portrait and a voice become a saved clip in a real ComfyUI, from nothing.

Settings come from the environment, where make puts what stands behind it on its command line:
TEXT, PORTRAIT, VOICE, SEED replace what the workflow brings, OUT is where a copy of the clip goes, WORKFLOW is another workflow in
API format to run instead of the main job.
"""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import console, host, workflow
from .comfy_client import ComfyClient, Prompt, Run
from .comfy_server import ComfyServer, has_accelerator
from .console import Problem, say, status

WORKFLOW = host.ROOT / "workflows" / "api" / "unitalking_nano_talking_portrait.json"
EXAMPLES = host.ROOT / "models" / "nano" / "examples"
MEDIA = (("PORTRAIT", "LoadImage", "image", EXAMPLES / "portrait_woman.png"), ("VOICE", "LoadAudio", "audio", EXAMPLES / "voice_woman.wav"))
PROBE = """
import av, sys
with av.open(sys.argv[1]) as clip:
    seconds = (clip.duration or 0) / 1e6
    for stream in clip.streams:
        size = f" {stream.width}x{stream.height}, {float(stream.average_rate):g} fps" if stream.type == "video" else f" {stream.rate} Hz"
        print(f"{stream.type}: {stream.codec_context.name}{size}")
    print(f"length: {seconds:.2f} s")
"""


@dataclass
class Progress:
    """Redraws the status line from the server's messages and writes a line for every node that has ended."""

    prompt: Prompt
    node: str | None = None
    since: float = 0.0
    done: int = 0

    def __call__(self, kind: str, data: dict[str, Any]) -> None:
        if kind == "execution_cached":
            self.done = len(data["nodes"])
        elif kind == "executing":
            self._ended()
            self.node, self.since = data["node"], time.monotonic()
            self._draw("")
        elif kind == "progress" and data["node"] == self.node:
            self._draw(f"  {console.bar(data['value'], data['max'])} {data['value']}/{data['max']}")

    def _draw(self, step: str) -> None:
        if self.node is not None:
            status(f"  {console.bar(self.done, len(self.prompt))} {self.done}/{len(self.prompt)} nodes   {self._name()}{step}")

    def _ended(self) -> None:
        if self.node is not None:
            self.done += 1
            say(f"  {self._name():<40} {console.duration(time.monotonic() - self.since):>12}")

    def _name(self) -> str:
        return self.prompt[self.node]["class_type"] if self.node in self.prompt else f"node {self.node}"


def prepare_prompt() -> tuple[Prompt, dict[str, Path]]:
    """The workflow with TEXT and SEED in it and what to upload, by the class of node that loads it; checked before anything starts."""
    prompt = workflow.load(Path(os.environ.get("WORKFLOW") or WORKFLOW))
    files = {}
    for name, class_type, _, example in MEDIA:
        own = os.environ.get(name)
        present = workflow.nodes_of(prompt, class_type)
        if own and not present:
            raise Problem(f"{name} was given, but this workflow has no {class_type} node.")
        path = Path(own).expanduser() if own else example
        if present and not path.is_file():
            raise Problem(f"{name}: there is no file {path}.")
        if present:
            files[class_type] = path
    if os.environ.get("TEXT"):
        own_media = os.environ.get("PORTRAIT") or os.environ.get("VOICE")
        workflow.set_text(prompt, os.environ["TEXT"], keep_description=not own_media)
    elif os.environ.get("PORTRAIT") or os.environ.get("VOICE"):
        say("Note: without TEXT= the workflow's own sentence and description of a person are used.")
    seed = os.environ.get("SEED")
    if seed:
        if not seed.isdigit():
            raise Problem(f"SEED={seed} is not a whole number.")
        workflow.set_seed(prompt, int(seed))
    return prompt, files


def upload(client: ComfyClient, prompt: Prompt, files: dict[str, Path]) -> None:
    """Bring the files to the server and their names into the prompt."""
    for _, class_type, key, _ in MEDIA:
        if class_type in files:
            workflow.set_file(prompt, class_type, key, client.upload(files[class_type]))


def clip_of(run: Run, base: Path, client: ComfyClient) -> Path:
    """Where the first saved file of the run lies: OUT if that was given, else the output folder."""
    files = run.files()
    if not files:
        raise Problem("the workflow ran but saved nothing.")
    out = os.environ.get("OUT")
    if not out:
        return base / files[0].get("type", "output") / files[0].get("subfolder", "") / files[0]["filename"]
    target = Path(out).expanduser().resolve()
    saved = Path(files[0]["filename"]).suffix
    if target.suffix.lower() != saved:
        raise Problem(f"OUT={out}: the clip is a {saved} file, give it a name that ends so. It lies in {base}.")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(client.view(files[0]))
    return target


def probe(python: Path, clip: Path) -> list[str]:
    """What another reader than the writer finds in the file: streams and length."""
    found = subprocess.run([str(python), "-c", PROBE, str(clip)], capture_output=True, text=True)
    return found.stdout.splitlines() if found.returncode == 0 else ["(the file could not be probed)"]


def demo() -> int:
    """Everything from set-up to the clip; 0 when there is one."""
    stages: dict[str, float] = {}
    started = time.monotonic()

    def stage(name: str) -> None:
        nonlocal started
        now = time.monotonic()
        stages[name], started = now - started, now

    prompt, files = prepare_prompt()
    place = host.prepare()
    stage("set up")
    arguments = ["--disable-api-nodes"] + ([] if has_accelerator(place.python) else ["--cpu"])
    server = ComfyServer(place, arguments)
    say(f"Starting ComfyUI on {server.url} ({'CPU' if '--cpu' in arguments else 'GPU'}) ...")
    try:
        server.start(waiting=lambda: status(f"  {'.' * (1 + int(2 * (time.monotonic() - started)))}"))
        stage("start ComfyUI")
        say(f"Running {os.environ.get('WORKFLOW') or WORKFLOW.name}")
        upload(server.client, prompt, files)
        run = server.client.run(prompt, Progress(prompt))
        stage("run the workflow")
        if not run.ok:
            raise Problem(f"the workflow did not run ({run.status}):\n{run.explain()}\nThe server's log: {server.log_path}")
        for lines in run.errors.values():
            say("Warning: " + "; ".join(lines))
        clip = clip_of(run, place.base, server.client)
    finally:
        server.stop()
    stage("stop ComfyUI")

    say(f"\nYour clip: {clip}")
    for line in probe(place.python, clip):
        say(f"  {line}")
    say("Time")
    for name, seconds in stages.items():
        say(f"  {name:<40} {console.duration(seconds):>12}")
    say(f"  {'all':<40} {console.duration(sum(stages.values())):>12}")
    return 0


if __name__ == "__main__":
    console.main(demo)
