"""What a step of sampling needs in memory, measured, beside the model's own estimate."""

from __future__ import annotations

import ctypes
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from comfy.patcher_extension import WrappersMP
from comfy_api.latest import io

from .output import output

M_MMAP_THRESHOLD = -3


class ProbeMemory(io.ComfyNode):
    """A MODEL that notes for each of its calls the rows, the estimate and how far the process's resident memory rose, in bytes."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbeMemory",
            category="probe",
            inputs=[io.Model.Input("model"), io.String.Input("name")],
            outputs=[io.Model.Output()],
            not_idempotent=True,
        )

    @classmethod
    def execute(cls, model: Any, name: str) -> io.NodeOutput:
        # Every tensor of more than a few pages gets pages of its own, small ones, which go back with it: peaks are then the tensors'.
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 16)
        model, calls = model.clone(), []

        def measure(executor: Callable, x: Any, *args: Any, **kwargs: Any) -> Any:
            estimate = model.model.memory_required(list(x.shape))
            libc.malloc_trim(0)
            Path("/proc/self/clear_refs").write_text("5")
            before = _status("VmRSS")
            result = executor(x, *args, **kwargs)
            calls.append({"rows": x.shape[0], "estimate": estimate, "measured": _status("VmHWM") - before})
            Path(output(name, "json")).write_text(json.dumps(calls))
            return result

        model.add_wrapper_with_key(WrappersMP.APPLY_MODEL, "probe", measure)
        return io.NodeOutput(model)


def _status(entry: str) -> int:
    """Bytes of an entry of /proc/self/status."""
    found = re.search(rf"^{entry}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return 1024 * int(found[1])
