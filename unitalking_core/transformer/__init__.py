"""The MM-DiT. Read in this order: `operations` (what a host injects), `attention`, `stream`, `model`."""

from .model import Conditions, UniTalkingTransformer
from .operations import Attend, Modulation, Operations

__all__ = ["Attend", "Conditions", "Modulation", "Operations", "UniTalkingTransformer"]
