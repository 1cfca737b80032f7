"""SaveTalkingVideo: a VIDEO becomes a file, with its graph inside and marked as generated."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import folder_paths
from comfy_api.latest import io, ui

from ..unitalking_core.media import Container, Encoding, Quality
from .clip_video import write_video
from .metadata import graph_metadata


class SaveTalkingVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SaveTalkingVideo",
            display_name="Save Talking Video",
            category="UniTalking",
            description="Saves a video with its sound to the output folder and plays it here. The file carries the workflow (dropping it "
            "on the canvas restores the graph) and a mark that it was generated.",
            search_aliases=["save video", "export mp4", "video output"],
            inputs=[
                io.Video.Input("video", tooltip="From Decode Audio-Video, or that clip after other nodes. It is marked as generated."),
                io.String.Input(
                    "filename_prefix", default="video/UniTalking", tooltip="Folder and name in the output folder; %date:yyyy-MM-dd% works."
                ),
                io.Combo.Input(
                    "format",
                    options=list(get_args(Container)),
                    default="mp4",
                    tooltip="mp4 (H.264 + AAC) plays everywhere; webm is VP9 + Opus.",
                ),
                io.Combo.Input(
                    "quality", options=list(get_args(Quality)), default="high", advanced=True, tooltip="Picture quality against file size."
                ),
            ],
            outputs=[io.Video.Output(display_name="video")],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, video: Any, filename_prefix: str, format: str, quality: str) -> io.NodeOutput:
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory(), *video.get_dimensions()
        )
        file = f"{name}_{counter:05}_.{format}"
        shown = write_video(video, Path(folder) / file, Encoding(container=format, quality=quality), graph_metadata(cls.hidden))
        saved = ui.PreviewVideo([ui.SavedResult(file, subfolder, io.FolderType.output)]).as_dict()
        return io.NodeOutput(video, ui={**saved, **shown})
