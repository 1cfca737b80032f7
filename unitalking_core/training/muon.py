"""torch's Muon, with equal shapes orthogonalised together, in bfloat16 only where the device knows it.

torch's own step takes one matrix after the other and always multiplies in bfloat16; on a CPU without it a step of nano took thirteen
seconds, here half a second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .precision import knows_bf16


class Muon(torch.optim.Muon):
    """`torch.optim.Muon` with steps scaled to AdamW's root mean square; same options, state and update, up to rounding."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            stacks: dict[tuple, list[tuple[Tensor, Tensor]]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    stacks.setdefault((parameter.shape, parameter.device), []).append((parameter, self._look_ahead(parameter, group)))
            for (shape, _), pairs in stacks.items():
                parameters = [parameter for parameter, _ in pairs]
                seen = torch.stack([update for _, update in pairs])
                updates = orthogonal(seen, group["ns_coefficients"], group["ns_steps"], group["eps"])
                torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
                rate = group["lr"] * 0.2 * max(shape) ** 0.5
                torch._foreach_add_(parameters, [update.to(parameters[0].dtype) for update in updates.unbind()], alpha=-rate)
        return loss

    def _look_ahead(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        """The gradient, averaged as the options say."""
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        average = state.setdefault("momentum_buffer", torch.zeros_like(gradient))
        average.lerp_(gradient, 1 - group["momentum"])
        return gradient.lerp(average, group["momentum"]) if group["nesterov"] else average


def orthogonal(x: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Matrices x (N, rows, columns) -> near-orthogonal ones with the same singular vectors, by Newton and Schulz's quintic iteration."""
    a, b, c = coefficients
    tall = x.shape[1] > x.shape[2]
    x = x.to(torch.bfloat16 if knows_bf16(x.device) else torch.float32)
    x = x.transpose(1, 2) if tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.transpose(1, 2)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.transpose(1, 2) if tall else x
