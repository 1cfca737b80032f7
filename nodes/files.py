"""Where model files lie: the folders the pack reads, which file each part of a model comes from, and where to get one that is missing.

A checkpoint may bundle its text encoder and codecs, or name public models that lie in ComfyUI's usual folders.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import folder_paths

from ..unitalking_core.checkpoint import AUDIO_CODEC, TEXT_ENCODER, VIDEO_CODEC, CheckpointError
from ..unitalking_core.config import ModelConfig

CHECKPOINTS, AUDIO_CODECS, SPEAKER_ENCODERS = "unitalking", "audio_codecs", "speaker_encoders"
SHIPPED = Path(__file__).parent.parent / "models" / "nano"
NANO = "unitalking-nano.safetensors"
BUNDLED = "bundled"
"""The choice of a part that comes with the checkpoint."""
ENDINGS, GGUF = (".safetensors", ".sft"), ".gguf"
"""What nodes read: formats that hold tensors and nothing that could run. Checkpoints may be GGUF files as well."""


@dataclass(frozen=True)
class Place:
    """A part of a model as a file: the input that chooses it, its folder under `models`, a published file, and its source.

    `title` is what detection calls a file that the loaders can read; the same model in another layout has another title.
    """

    choice: str
    folder: str
    file: str
    source: str
    title: str

    @property
    def advice(self) -> str:
        return f"choose it as {self.choice}; if it is not in the list, put {self.file} ({self.source}) into {folder_of(self.folder)}"


UMT5 = Place(
    "text_encoder",
    "text_encoders",
    "umt5_xxl_fp8_e4m3fn_scaled.safetensors",
    "from huggingface.co/Comfy-Org/Wan_2.1_ComfyUI_repackaged",
    "a UMT5 text encoder",
)
WAN22_VAE = Place("vae", "vae", "wan2.2_vae.safetensors", "from huggingface.co/Comfy-Org/Wan_2.2_ComfyUI_Repackaged", "Wan2.2's video VAE")
MMAUDIO_44K = Place(
    "audio_codec",
    AUDIO_CODECS,
    "mmaudio_44k.safetensors",
    "made by `unitalking convert-audio-codec` from v1-44.pth of huggingface.co/hkchengrex/MMAudio and bigvgan_generator.pt of "
    "huggingface.co/nvidia/bigvgan_v2_44khz_128band_512x",
    "MMAudio's audio codec for 44.1 kHz (128 mel bands)",
)
MMAUDIO_16K = Place(
    "audio_codec",
    AUDIO_CODECS,
    "mmaudio_16k.safetensors",
    "made by `unitalking convert-audio-codec` from v1-16.pth and best_netG.pt of huggingface.co/hkchengrex/MMAudio",
    "MMAudio's audio codec for 16 kHz (80 mel bands)",
)
LTX_AUDIO = Place(
    "audio_codec",
    AUDIO_CODECS,
    "ltx-2.3-22b-dev_audio_vae.safetensors",
    "in params/LTX2 of NAVA's release, see github.com/ernie-research/NAVA; it has a licence of its own, LTX-2 Community",
    "LTX-2's audio VAE with its vocoder",
)
PUBLISHED = {"ltx-2.3-audio": LTX_AUDIO, "umt5-xxl": UMT5, "wan2.2-vae": WAN22_VAE, "mmaudio-44k": MMAUDIO_44K, "mmaudio-16k": MMAUDIO_16K}
"""The public models that a configuration may name."""
FOLDERS = {TEXT_ENCODER: "text_encoders", VIDEO_CODEC: "vae", AUDIO_CODEC: AUDIO_CODECS}


def register_folders() -> None:
    """Checkpoints lie in models/unitalking, in diffusion_models as other models do, or ship with the pack; audio codecs in a folder."""
    own = Path(folder_paths.models_dir) / CHECKPOINTS
    for path in (own, SHIPPED, *folder_paths.get_folder_paths("diffusion_models")):
        folder_paths.add_model_folder_path(CHECKPOINTS, str(path))
    for folder in (AUDIO_CODECS, SPEAKER_ENCODERS):
        folder_paths.add_model_folder_path(folder, str(Path(folder_paths.models_dir) / folder))
    for folder, endings in ((CHECKPOINTS, {*ENDINGS, GGUF}), (AUDIO_CODECS, {*ENDINGS}), (SPEAKER_ENCODERS, {*ENDINGS})):
        paths, _ = folder_paths.folder_names_and_paths[folder]
        folder_paths.folder_names_and_paths[folder] = (paths, endings)


def folder_of(folder: str) -> str:
    """Where a user is told to put a file."""
    return str(Path(folder_paths.models_dir) / folder)


def checkpoint_names() -> list[str]:
    return folder_paths.get_filename_list(CHECKPOINTS)


def checkpoint_path(name: str) -> str:
    """Raises CheckpointError that names the file and its folder."""
    return _path(CHECKPOINTS, name, "checkpoint")


def choices(part: str) -> list[str]:
    """What a part's input offers: the checkpoint's own, and the files of its folder that a node may read."""
    return [BUNDLED, *(name for name in folder_paths.get_filename_list(FOLDERS[part]) if name.lower().endswith(ENDINGS))]


def part_path(part: str, name: str) -> str:
    """Raises CheckpointError that names the file and its folder; also for a pickle, which nodes never read."""
    if not name.lower().endswith(ENDINGS):
        raise CheckpointError(f"{name} may be a pickle, which can run code when it is read; use a .safetensors file")
    return _path(FOLDERS[part], name, part.replace("_", " "))


def speaker_encoder_names() -> list[str]:
    return folder_paths.get_filename_list(SPEAKER_ENCODERS)


def speaker_encoder_path(name: str) -> str:
    """Raises CheckpointError that names the file and its folder."""
    return _path(SPEAKER_ENCODERS, name, "speaker encoder")


def _path(folder: str, name: str, what: str) -> str:
    path = folder_paths.get_full_path(folder, name)
    if path is None:
        raise CheckpointError(f"the {what} '{name}' is not there any more; put it into {folder_of(folder)} and press R to refresh the list")
    return path


def named_parts(config: ModelConfig) -> dict[str, str]:
    """The text encoder and codecs by the names in a configuration."""
    return {TEXT_ENCODER: config.text.encoder, VIDEO_CODEC: config.video.codec, AUDIO_CODEC: config.audio.codec}
