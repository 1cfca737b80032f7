"""The MM-DiT. Read in this order: `operations` (what a host injects), `rope`, `attention`, `stream`, `model`, `prepared`."""

from .model import Conditions, UniTalkingTransformer
from .operations import Attend, Modulation, Operations
from .prepared import PreparedConditions

__all__ = ["Attend", "Conditions", "Modulation", "Operations", "PreparedConditions", "UniTalkingTransformer"]
