"""ComfyUI-UniTalking: talking portraits whose face and speech are generated together."""

from .nodes import UniTalkingExtension

WEB_DIRECTORY = "./web"


async def comfy_entrypoint() -> UniTalkingExtension:
    return UniTalkingExtension()
