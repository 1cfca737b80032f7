"""What a clip carries besides picture and sound: its tags, and the mark that says a model made it.

The mark is the IPTC's digital source type (Video Metadata Hub, "Digital Source Type") and the name of this pack. It is written twice:
as an XMP packet in mp4, where the readers of such marks look, and as plain tags in both containers, which programs that re-encode or
re-save a clip tend to keep. Nothing in this project writes a clip without it.
"""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

PACK = "ComfyUI-UniTalking"
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
TAGS = {"DigitalSourceType": SOURCE_TYPE, "CreatorTool": PACK}

XMP_BOX = UUID("be7acfcb-97a9-42e8-9c71-999491e3afac")  # XMP specification, part 3, ISO base media files
XMP_PACKET = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/">
   <Iptc4xmpExt:DigitalSourceType>{SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>
   <xmp:CreatorTool>{PACK}</xmp:CreatorTool>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>""".encode()


def append_xmp(path: str | os.PathLike[str]) -> None:
    """Append the XMP packet to an mp4 as a top-level box. At the end, because there it moves nothing that the index points at."""
    with Path(path).open("ab") as file:
        file.write(struct.pack(">I4s16s", 24 + len(XMP_PACKET), b"uuid", XMP_BOX.bytes) + XMP_PACKET)


def tag_file(metadata: Mapping[str, str], *, brace_free: bool) -> bytes:
    """The tags and the mark in ffmpeg's own text format, where `=`, `;`, `#`, backslash and line feed stand behind a backslash.

    The mark wins over a tag of its name. brace_free: JSON values are written without braces inside their strings, see below.
    Raises ValueError for a tag that no container can hold.
    """
    marks = {key.lower() for key in TAGS}
    lines = [";FFMETADATA1"]
    for key, value in [*((key, value) for key, value in metadata.items() if key.lower() not in marks), *TAGS.items()]:
        if not key or not isinstance(value, str) or "\0" in key + value:
            raise ValueError(f"the tag {key!r} must have a name and a text without zero characters, got {type(value).__name__}")
        text = _without_stray_braces(value) if brace_free else value
        lines.append("=".join(re.sub(r"([=;#\\\n])", r"\\\1", part) for part in (key, text)))
    try:
        return "".join(f"{line}\n" for line in lines).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"a tag cannot be written as UTF-8: {error}") from error


def _without_stray_braces(text: str) -> str:
    """The same JSON with braces inside its strings as escapes: ComfyUI finds the end of a workflow in a webm by counting braces."""
    try:
        json.loads(text)
    except ValueError:
        return text
    string = re.compile(r'"(?:[^"\\]|\\.)*"')
    return string.sub(lambda found: found[0].replace("{", "\\u007b").replace("}", "\\u007d"), text)
