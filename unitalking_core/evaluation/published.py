"""The UniTalking paper's tables, for orientation: other test sets, other instruments, so never to be ranked with numbers measured here.

Source: arXiv 2603.01418 (CVPR 2026 Findings). The paper itself could not be opened while this was written; the figures are as
public reading notes on it give them (three versions of one note, which agree; Sync-C, English similarity and WER of UniTalking also in
an independent listing). Its preference study is left out: the notes give it in rounded words only.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedTable:
    """columns: (name, which direction is better) of each value. rows: system -> its values, in the order of the columns."""

    title: str
    task: str
    columns: tuple[tuple[str, str], ...]
    rows: dict[str, tuple[float, ...]]
    note: str


SOURCE = "arXiv 2603.01418, as given by public reading notes on the paper"
CAVEAT = (
    "Not comparable with the numbers above: other test sets than nano's drawn faces and synthetic voices, other instruments. "
    "They stand here to show what the paper measures and what the field reaches."
)

TABLES = (
    PublishedTable(
        "Lip sync",
        "text to sound and picture",
        (("Sync-C", "higher"), ("Sync-D", "lower")),
        {"UniTalking": (4.87, 8.05), "Universe-1": (1.85, 11.97), "OVI": (6.56, 8.60), "Sora2": (5.35, 7.78)},
        "By SyncNet. The paper's authors suspect that Sync-C favours exaggerated mouths.",
    ),
    PublishedTable(
        "Voice similarity",
        "text and reference voice to sound and picture",
        (("English", "higher"), ("Chinese", "higher")),
        {"UniTalking": (0.703, 0.662), "ElevenLabs": (0.613, 0.677), "MiniMax": (0.756, 0.780), "Qwen3-Omni": (0.773, 0.772)},
        "Similarity of the speaker to the reference; the notes do not name the encoder.",
    ),
    PublishedTable(
        "Speech",
        "text to sound",
        (("WER", "lower"),),
        {"UniTalking": (0.038,), "Fish Speech": (0.008,), "F5-TTS": (0.018,), "OVI-Aud": (0.035,)},
        "Word error rate as a fraction.",
    ),
)
