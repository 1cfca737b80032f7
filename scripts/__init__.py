"""What `make` runs: an environment, a real ComfyUI, the demo and the tests. Standard library only.

Everything that is made lives in the ignored folder `.host/`; delete it to start over.
"""

import sys

if sys.version_info < (3, 10):  # noqa: UP036 - older Pythons read this line, and stop here with a word instead of a traceback
    version = ".".join(map(str, sys.version_info[:2]))
    sys.exit(f"Sorry: this is Python {version}; 3.10 or newer is needed. Install one and name it: make demo PYTHON=python3.12")
