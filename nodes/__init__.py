"""ComfyUI adapters and nothing else: what a node computes lives in `unitalking_core`.

Nodes: `load_model`, `reference_voice`, `voice_library`, `prompt`, `clip`, `given`, `sampler`, `decode`, `save`,
`attention_maps`, `long_clip` (on `talk`), `two_faces`. Under them: `model`,
`transformer`, `operations` and `run` (the MODEL), `text` (the CLIP), `codecs` and `audio_codec` (the VAEs), `latents` (the LATENT),
`guider`, `clip_video` (the VIDEO), `loading`, `parts`, `files`, `gguf`, `lora`, `metadata`, `report`, `examples`.
"""

from comfy_api.latest import ComfyExtension, io

from .attention_maps import UniTalkingAttentionMaps
from .clip import EncodePortrait, UniTalkingEmptyClip, UniTalkingEmptySpeech
from .decode import DecodeAV, register_prompt_handler
from .examples import copy_examples
from .files import register_folders
from .given import UniTalkingContinueClip, UniTalkingGiveSpeech, UniTalkingGiveVideo
from .load_model import LoadUniTalkingModel
from .long_clip import UniTalkingDialogue, UniTalkingLongClip
from .prompt import UniTalkingPrompt, register_estimate
from .reference_voice import EncodeReferenceVoice, UniTalkingApplyVoice
from .sampler import JointFlowSampler
from .save import SaveTalkingVideo
from .two_faces import UniTalkingTwoFaces
from .voice_library import UniTalkingLoadVoice, UniTalkingSaveVoice, register_voice_folder

NODES: list[type[io.ComfyNode]] = [
    LoadUniTalkingModel,
    EncodeReferenceVoice,
    EncodePortrait,
    UniTalkingEmptyClip,
    UniTalkingApplyVoice,
    JointFlowSampler,
    DecodeAV,
    SaveTalkingVideo,
    UniTalkingEmptySpeech,
    UniTalkingGiveSpeech,
    UniTalkingGiveVideo,
    UniTalkingContinueClip,
    UniTalkingSaveVoice,
    UniTalkingLoadVoice,
    UniTalkingPrompt,
    UniTalkingAttentionMaps,
    UniTalkingLongClip,
    UniTalkingDialogue,
    UniTalkingTwoFaces,
]


class UniTalkingExtension(ComfyExtension):
    async def on_load(self) -> None:
        register_folders()
        register_voice_folder()
        register_prompt_handler()
        register_estimate()
        copy_examples()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES
