"""DecodeAV: a sampled clip becomes VIDEO, and IMAGE and AUDIO where somebody wants them."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker
from server import PromptServer

from . import inputs
from .clip_video import ClipVideo, lasting
from .codecs import require_audio_vae, require_video_vae
from .latents import INFO, clip_of, clip_streams, levels_of, require_finite, still_given
from .report import say

NODE_ID = "DecodeAV"
LINKED = "linked_outputs"
SILENT_RMS = 1e-4
SOUND_ONLY = "this clip is sound alone: it has no picture to show or save; use the 'audio' output of Decode Audio-Video"


class DecodeAV(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id=NODE_ID,
            display_name="Decode Audio-Video",
            category="UniTalking",
            description="Decodes both streams of a clip. The video is decoded while it is saved; images and audio where they are linked.",
            search_aliases=["vae decode", "decode video", "decode audio"],
            inputs=[
                io.Latent.Input("latent", tooltip="From Joint Flow Sampler or a core sampler."),
                inputs.vae(),
                inputs.audio_vae(),
            ],
            outputs=[
                io.Video.Output(display_name="video"),
                io.Image.Output(display_name="images"),
                io.Audio.Output(display_name="audio"),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
        )

    @classmethod
    def execute(cls, latent: dict, vae: Any, audio_vae: Any) -> io.NodeOutput:
        laid_out = getattr(latent.get(INFO), "config", None)
        require_audio_vae(audio_vae, laid_out and laid_out.audio)
        require_finite(latent, "this clip is broken")
        wanted = _linked_outputs(cls.hidden)
        video, audio = clip_streams(latent)
        clip = clip_of(latent, audio_vae.unitalking)
        if video is None:
            waveform = lasting(audio_vae.decode_waveform(audio), clip.samples)
            blocked = ExecutionBlocker(SOUND_ONLY)
            return io.NodeOutput(blocked, blocked, _heard(cls, {"waveform": waveform, "sample_rate": clip.timeline.sample_rate}))
        require_video_vae(vae, video.shape[1], laid_out and laid_out.video)
        if video.shape[0] != 1:
            raise ValueError(f"one clip at a time: this latent is a batch of {video.shape[0]}; pick one of them first")
        made = ClipVideo(video, audio, vae, audio_vae, clip, *still_given(latent), levels_of(latent))
        _heard(cls, made.audio())
        return io.NodeOutput(made, made.images() if 1 in wanted else None, made.audio() if 2 in wanted else None)


def _heard(node: Any, audio: dict | None) -> dict | None:
    """The sound, with a word about it when it is none."""
    if audio is not None and audio["waveform"].square().mean().sqrt() < SILENT_RMS:
        say(node, "the sound of this clip is almost silent; try another seed or a higher audio_text_scale")
    return audio


def _linked_outputs(hidden: Any) -> set[int]:
    """Which outputs have a link; all of them where that is not known."""
    linked = hidden.dynprompt.get_node(hidden.unique_id)["inputs"].get(LINKED)
    return {0, 1, 2} if linked is None else set(linked)


def note_linked_outputs(request: dict[str, Any]) -> dict[str, Any]:
    """Prompt handler: write on each DecodeAV which of its outputs are linked.

    The note is part of the node's inputs, and so of the host's cache key: linking IMAGE later decodes instead of returning a stale None.
    """
    nodes = request.get("prompt")
    if not isinstance(nodes, dict):
        return request
    links = [value for node in nodes.values() if isinstance(node, dict) for value in _links(node)]
    for name, node in nodes.items():
        if isinstance(node, dict) and node.get("class_type") == NODE_ID and isinstance(node.get("inputs"), dict):
            node["inputs"][LINKED] = sorted({index for source, index in links if str(source) == str(name)})
    return request


def _links(node: dict[str, Any]) -> list[tuple[Any, int]]:
    inputs = node.get("inputs")
    values = inputs.values() if isinstance(inputs, dict) else ()
    return [(v[0], v[1]) for v in values if isinstance(v, list) and len(v) == 2 and isinstance(v[1], int)]


def register_prompt_handler() -> None:
    PromptServer.instance.add_on_prompt_handler(note_linked_outputs)
