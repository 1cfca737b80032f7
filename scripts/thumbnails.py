"""`python -m scripts.thumbnails [template ...]`: runs every template in a real server and makes its thumbnail from what came out.

A clip's thumbnail is the frame in which the mouth is widest open, its sound's waveform under it; that of sound alone is the waveform. A
template that needs a microphone gets the example voice in its place. Full-size templates, whose model nobody has published, show the icon;
those of large public models their portrait and voice.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

from . import console, host, templates
from .comfy_client import Prompt, Run
from .comfy_server import ComfyServer
from .console import Problem, say

WORKFLOWS = host.ROOT / "workflows"
EXAMPLES = host.ROOT / "models" / "nano" / "examples"
EXAMPLE_VOICE = "unitalking_voice_woman.wav"
SIDE, BAND, BARS = 512, 96, 64
INK, GROUND, WAVE = (255, 255, 255), (91, 63, 214), (229, 84, 122)


def prompt_of(name: str) -> Prompt:
    """A template's API twin, ready to run where nobody can speak into a microphone."""
    prompt = json.loads((WORKFLOWS / "api" / f"{name}.json").read_text(encoding="utf-8"))
    for node in prompt.values():
        if node["class_type"] == "RecordAudio":
            node["inputs"]["audio"] = EXAMPLE_VOICE
    return prompt


def streams(file: bytes) -> tuple[list[Any], list[Any]]:
    """Frames (H, W, 3) and pieces of sound, of which one may be missing."""
    import av
    import numpy as np

    with av.open(io.BytesIO(file)) as clip:
        frames = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)] if clip.streams.video else []
    with av.open(io.BytesIO(file)) as clip:
        sound = [np.abs(frame.to_ndarray()).max(0) for frame in clip.decode(audio=0)] if clip.streams.audio else []
    return frames, sound


def draw(frames: list[Any], sound: list[Any], shown: dict[str, Any] | None) -> Any:
    """A thumbnail (a Pillow image) of a clip or of sound; `shown` is what Save Talking Video measured of it."""
    import numpy as np
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (SIDE, SIDE), GROUND)
    if frames:
        widest = int(np.argmax(shown["mouth"])) if shown and len(shown["mouth"]) == len(frames) else len(frames) // 2
        frame = Image.fromarray(frames[widest])
        if frame.width > frame.height:  # two people: all of them, over the sound
            frame = frame.resize((SIDE, SIDE * frame.height // frame.width), Image.Resampling.LANCZOS)
            picture.paste(frame, (0, (SIDE - BAND - frame.height) // 2))
        else:
            edge, top = frame.width, (frame.height - frame.width) // 2
            picture.paste(frame.crop((0, top, edge, top + edge)).resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    middle, height = (SIDE - BAND // 2, BAND - 24) if frames else (SIDE // 2, SIDE * 2 // 3)
    layer = Image.new("RGBA", (SIDE, SIDE))
    pen = ImageDraw.Draw(layer)
    if frames:
        pen.rectangle((0, SIDE - BAND, SIDE, SIDE), fill=(*GROUND, 170))
    if sound:
        parts = [part.max(initial=0) for part in np.array_split(np.concatenate(sound).astype(float), BARS)]
        for i, level in enumerate(np.array(parts) / max(*parts, 1e-9)):
            x, half = (i + 0.5) * SIDE / BARS, max(2, level * height / 2)
            pen.rounded_rectangle((x - 2.5, middle - half, x + 2.5, middle + half), 2.5, fill=(*(INK if frames else WAVE), 255))
    picture.paste(layer, mask=layer)
    return picture


def icon() -> Any:
    """A thumbnail of a template that was never run: the pack's icon, and no picture that it has not made."""
    from PIL import Image

    picture = Image.new("RGB", (SIDE, SIDE), GROUND)
    with Image.open(host.ROOT / "docs" / "icon.png") as found:
        drawn = found.convert("RGBA").resize((SIDE // 2, SIDE // 2), Image.Resampling.LANCZOS)
    picture.paste(drawn, (SIDE // 4, SIDE // 4), drawn)
    return picture


def result_of(run: Run) -> tuple[dict[str, str], dict[str, Any] | None]:
    """The file to show of a run, the last saved clip or else what was played last, and what was measured of it."""
    clips = [(shown["images"][0], shown["unitalking"][0]) for shown in run.outputs.values() if shown.get("unitalking")]
    return clips[-1] if clips else (run.files()[-1], None)


def given(name: str) -> tuple[list[Any], list[Any]]:
    """The portrait and the voice that a template begins with."""
    inputs = {node["class_type"]: node["inputs"] for node in prompt_of(name).values()}
    files = inputs["LoadImage"]["image"], inputs["LoadAudio"]["audio"]
    (frames, _), (_, sound) = (streams((EXAMPLES / file.removeprefix("unitalking_")).read_bytes()) for file in files)
    return frames, sound


def unrun(name: str) -> Any | None:
    """The thumbnail of a template that needs files which the pack does not bring."""
    if name.startswith(templates.FULL_SIZE):
        return icon()
    return draw(*given(name), None) if name.startswith(templates.NAVA) else None


def make() -> int:
    """The thumbnails of the templates named on the command line, of all of them without a name."""
    place = host.prepare()
    if Path(sys.prefix) != place.python.parent.parent:
        raise Problem(f"run it with the server's Python: {place.python} -m scripts.thumbnails")
    names = sys.argv[1:] or sorted(path.stem for path in WORKFLOWS.glob("*.json"))
    still = {name: picture for name in names if (picture := unrun(name))}
    for name, picture in still.items():
        picture.save(WORKFLOWS / f"{name}.jpg", quality=88)
        say(f"workflows/{name}.jpg")
    with ComfyServer(place, ["--cpu", "--disable-api-nodes"]) as server:
        for name in (name for name in names if name not in still):
            run = server.client.run(prompt_of(name))
            if not run.ok:
                raise Problem(f"{name} did not run: {run.explain()}")
            file, shown = result_of(run)
            draw(*streams(server.client.view(file)), shown).save(WORKFLOWS / f"{name}.jpg", quality=88)
            say(f"workflows/{name}.jpg")
    return 0


if __name__ == "__main__":
    console.main(make)
