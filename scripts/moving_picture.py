"""`python -m scripts.moving_picture CLIP.mp4 ...`: writes docs/nano.webp, the clips side by side as one picture that moves.

For the first screen of the README; no longer than the shortest clip, and small: a page that shows it loads it at once.
"""

from __future__ import annotations

import sys
from typing import Any

from . import console, host
from .console import Problem, say

TARGET = host.ROOT / "docs" / "nano.webp"
SIDE, GAP, GROUND = 256, 8, (255, 255, 255)
QUALITY = 60


def frames_of(path: str) -> tuple[list[Any], float]:
    """A clip's frames (Pillow images) in the size they are shown in, and how many a second has."""
    import av
    from PIL import Image

    with av.open(path) as clip:
        rate = float(clip.streams.video[0].average_rate)
        return [frame.to_image().resize((SIDE, SIDE), Image.Resampling.BICUBIC) for frame in clip.decode(video=0)], rate


def make() -> int:
    """The picture of the clips named on the command line."""
    from PIL import Image

    if len(sys.argv) < 2:
        raise Problem("name the clips: python -m scripts.moving_picture CLIP.mp4 ...")
    clips = [frames_of(path) for path in sys.argv[1:]]
    pictures = []
    for row in zip(*(frames for frames, _ in clips), strict=False):
        picture = Image.new("RGB", (len(row) * (SIDE + GAP) - GAP, SIDE), GROUND)
        for i, frame in enumerate(row):
            picture.paste(frame, (i * (SIDE + GAP), 0))
        pictures.append(picture)
    first, *rest = pictures
    first.save(TARGET, save_all=True, append_images=rest, duration=round(1000 / clips[0][1]), loop=0, quality=QUALITY, method=6)
    say(f"{TARGET.relative_to(host.ROOT)}: {len(pictures)} frames, {TARGET.stat().st_size // 1024} kB")
    return 0


if __name__ == "__main__":
    console.main(make)
