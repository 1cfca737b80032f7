"""Training's attention is the transformer's."""

from __future__ import annotations

import torch

from unitalking_core.training.attention import attend_by_products
from unitalking_core.transformer.operations import attend


def test_products_equal_the_fused_attention() -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, length, 24, dtype=torch.float64) for length in (5, 7, 7))
    assert torch.allclose(attend_by_products(q, k, v, 3), attend(q, k, v, 3), atol=1e-12)
