"""UniTalkingSaveVoice and UniTalkingLoadVoice: voices kept as files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import folder_paths
from comfy_api.latest import io

from ..unitalking_core.checkpoint import stamp
from ..unitalking_core.conditions.voice_file import SavedVoice, VoiceFileError, codec_id, load_voice, save_voice
from . import inputs
from .codecs import require_audio_vae
from .reference_voice import heard, require_voice
from .report import say

FOLDER = "unitalking_voices"
SAVED = "voices"
"""Folder in the output folder."""
NONE_YET = "no voice saved yet"
"""The one choice while there is no voice: a list without any would show as 'undefined'."""


def register_voice_folder() -> None:
    """Voices lie in models/unitalking_voices, and where UniTalking Save Voice puts them."""
    for path in (Path(folder_paths.models_dir) / FOLDER, Path(folder_paths.get_output_directory()) / SAVED):
        folder_paths.add_model_folder_path(FOLDER, str(path))
    paths, _ = folder_paths.folder_names_and_paths[FOLDER]
    folder_paths.folder_names_and_paths[FOLDER] = (paths, {".safetensors"})


def voice_files() -> list[str]:
    """Names of all voices. The host remembers folders and stumbles over one that somebody has removed since."""
    try:
        return folder_paths.get_filename_list(FOLDER)
    except FileNotFoundError:
        folder_paths.filename_list_cache.pop(FOLDER, None)
        return folder_paths.get_filename_list(FOLDER)


class UniTalkingSaveVoice(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniTalkingSaveVoice",
            display_name="UniTalking Save Voice",
            category="UniTalking",
            description="Keeps a prepared voice as a file in output/voices, with a name and a note about its licence. UniTalking Load "
            "Voice finds it there after a refresh (R).",
            search_aliases=["voice library", "export voice", "speaker file"],
            inputs=[
                inputs.Voice.Input("voice", tooltip="From Encode Reference Voice."),
                io.String.Input("name", default="voice", tooltip="How the voice is called; the file gets this name and a number."),
                io.String.Input(
                    "licence",
                    default="",
                    multiline=True,
                    tooltip="Whose voice it is, who agreed to its use and on what terms. Shown whenever the voice is loaded.",
                ),
            ],
            outputs=[inputs.Voice.Output(display_name="voice")],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, voice: dict[str, Any], name: str, licence: str) -> io.NodeOutput:
        name = name.strip()
        plain = re.sub(r"[^\w-]+", "_", name).strip("_")
        if not plain:
            raise VoiceFileError("the voice has no name: write one")
        folder, plain, counter, _, _ = folder_paths.get_save_image_path(f"{SAVED}/{plain}", folder_paths.get_output_directory())
        path = Path(folder) / f"{plain}_{counter:05}_.safetensors"
        save_voice(path, SavedVoice(voice["latent"], voice["waveform"], voice["sample_rate"], name, licence.strip(), voice["codec"]))
        named = {**voice, "name": name, "licence": licence.strip()}
        return io.NodeOutput(named, ui=say(cls, f"saved as {SAVED}/{path.name}"))


class UniTalkingLoadVoice(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        names = voice_files() or [NONE_YET]
        return io.Schema(
            node_id="UniTalkingLoadVoice",
            display_name="UniTalking Load Voice",
            category="UniTalking",
            description="A voice that was saved with UniTalking Save Voice. A voice is good for the audio codec it was made with.",
            search_aliases=["voice library", "speaker file", "import voice"],
            inputs=[
                io.Combo.Input(
                    "voice_file",
                    options=names,
                    default=names[0],
                    tooltip="A voice file in output/voices or models/unitalking_voices. Press R after saving one.",
                ),
                inputs.audio_vae(": the voice must have been made with the same one"),
            ],
            outputs=[inputs.Voice.Output(display_name="voice")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, voice_file: str, **_: Any) -> tuple:
        """A file that was replaced is loaded again."""
        path = folder_paths.get_full_path(FOLDER, voice_file)
        return (path, stamp(path) if path else None)

    @classmethod
    def execute(cls, voice_file: str, audio_vae: Any) -> io.NodeOutput:
        config = require_audio_vae(audio_vae).unitalking
        path = folder_paths.get_full_path(FOLDER, voice_file)
        if voice_file == NONE_YET:
            raise VoiceFileError("no voice is saved yet: keep one with UniTalking Save Voice, then press R")
        if path is None:
            raise VoiceFileError(f"the voice '{voice_file}' is not there any more; press R to refresh the list")
        codec = None if config.transformer.speakers else codec_id(config.audio, audio_vae.first_stage_model)
        saved = load_voice(path, codec)
        kept = {"waveform": saved.preview, "sample_rate": saved.sample_rate}
        out = {"latent": saved.latent, **kept, "name": saved.name, "licence": saved.licence, "codec": saved.codec}
        require_voice(out, config)
        report = f"{saved.name}: {saved.preview.shape[-1] / saved.sample_rate:.1f} s\n{saved.licence or 'no note about its licence'}"
        return io.NodeOutput(out, ui=say(cls, report, **heard(kept)))
