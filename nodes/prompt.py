"""UniTalkingPrompt: a script becomes a prompt, and a clip long enough for its words."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker
from server import PromptServer

from ..unitalking_core.conditions.script import ScriptError, estimate, limits, parse
from . import inputs
from .clip import LONGEST_SECONDS
from .latents import model_config
from .report import say

ESTIMATE_ROUTE = "/unitalking/estimate"


class UniTalkingPrompt(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniTalkingPrompt",
            display_name="UniTalking Prompt",
            category="UniTalking",
            description="What is said and what is seen, kept apart. Says how long the words take, and makes the clip that long or checks "
            "whether they fit into it.",
            search_aliases=["script", "dialogue", "speech text", "duration", "clip text encode"],
            inputs=[
                io.String.Input(
                    "speech",
                    multiline=True,
                    default="my sister loves the golden book",
                    tooltip="The words that are spoken. Marked as <S>words<E> description, both may stand here.",
                ),
                inputs.description(),
                io.Float.Input(
                    "seconds",
                    default=0.0,
                    min=0.0,
                    max=LONGEST_SECONDS,
                    step=0.1,
                    tooltip="Length of the clip, to check the words against; 0 takes what they need.",
                ),
                inputs.language(),
                inputs.pace("; only the estimate of the length changes"),
                inputs.clip("; needed for the conditioning", optional=True),
                io.Model.Input("model", optional=True, tooltip="The MODEL: with it the node says what the model cannot do of the script."),
            ],
            outputs=[
                io.Conditioning.Output(display_name="conditioning"),
                io.String.Output(display_name="prompt"),
                io.Float.Output(display_name="seconds"),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        speech: str,
        description: str,
        seconds: float,
        language: str,
        pace: float,
        clip: Any = None,
        model: Any = None,
    ) -> io.NodeOutput:
        script = parse(speech, description)
        need = estimate(script.speech, inputs.known(language), pace)
        config = None if model is None else model_config(model)
        if not need.words and not seconds and config is None:
            raise ValueError("nothing is spoken, so the words do not tell how long the clip is: set 'seconds', or connect the model")
        wanted = need.seconds if need.words or config is None else config.sampling.seconds
        length = seconds or min(max(wanted, 0.2), LONGEST_SECONDS)
        if config is not None:
            length = config.timeline.clip(length).seconds if seconds else config.timeline.covering(length).seconds
        lines = [need.against(length)]
        if config is not None:
            lines += limits(config.text.encoder, config.sampling.seconds, need, length)
        if clip is None:
            conditioning = ExecutionBlocker("UniTalking Prompt has no CLIP: connect that of Load UniTalking Model to get a conditioning")
        else:
            conditioning = clip.encode_from_tokens_scheduled(clip.tokenize(script.prompt))
        return io.NodeOutput(conditioning, script.prompt, length, ui=say(cls, "\n".join(lines)))


async def answer_estimate(request: web.Request) -> web.Response:
    """What the words take, for a front end that shows it while somebody types.

    JSON in: {"speech", "seconds" (0: not known), "language" ("auto"), "pace"}; out: {"text", "seconds", "language", "words", "syllables",
    "fits" ("short", "well", "long")}, or {"error"}: half a mark is no failure while somebody types, so that too is an ordinary answer.
    """
    try:
        asked = await request.json()
        language = asked.get("language", inputs.AUTO)
        script = parse(str(asked.get("speech", "")))
        need = estimate(script.speech, inputs.known(language), float(asked.get("pace", 1.0)))
        length = float(asked.get("seconds", 0.0)) or need.seconds
        found = {"text": need.against(length), "fits": need.fit(length)}
        return web.json_response(found | {key: getattr(need, key) for key in ("seconds", "language", "words", "syllables")})
    except (ScriptError, ValueError, TypeError, AttributeError) as error:
        return web.json_response({"error": str(error)})


def register_estimate() -> None:
    PromptServer.instance.routes.post(ESTIMATE_ROUTE)(answer_estimate)
