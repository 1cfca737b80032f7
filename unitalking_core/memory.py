"""How much memory this process has had at most."""

from __future__ import annotations

import sys
from pathlib import Path


def peak_memory() -> int | None:
    """Bytes of the largest resident set so far; None where the system does not tell (Windows)."""
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage would count what the process was before it was replaced by this program
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) * 1024
    if sys.platform == "win32":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS
