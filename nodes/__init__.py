"""ComfyUI adapters and nothing else: what a node computes lives in `unitalking_core`.

Nodes: `load_model`, `reference_voice`, `clip`, `sampler`, `decode`, `save`. Under them: `model`, `transformer`, `operations` and `run` (the
MODEL), `text` (the CLIP), `codecs` and `audio_codec` (the VAEs), `latents` (the LATENT), `guider`, `clip_video` (the VIDEO), `loading`,
`parts`, `files`, `gguf`, `lora`, `metadata`, `report`, `examples`.
"""

from comfy_api.latest import ComfyExtension, io

from .clip import EncodePortrait, UniTalkingEmptyClip
from .decode import DecodeAV, register_prompt_handler
from .examples import copy_examples
from .files import register_folders
from .load_model import LoadUniTalkingModel
from .reference_voice import EncodeReferenceVoice, UniTalkingApplyVoice
from .sampler import JointFlowSampler
from .save import SaveTalkingVideo

NODES: list[type[io.ComfyNode]] = [
    LoadUniTalkingModel,
    EncodeReferenceVoice,
    EncodePortrait,
    UniTalkingEmptyClip,
    UniTalkingApplyVoice,
    JointFlowSampler,
    DecodeAV,
    SaveTalkingVideo,
]


class UniTalkingExtension(ComfyExtension):
    async def on_load(self) -> None:
        register_folders()
        register_prompt_handler()
        copy_examples()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES
