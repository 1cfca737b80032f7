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
            stacks: dict[tuple, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    stacks.setdefault((parameter.shape, parameter.device), []).append(parameter)
            for (shape, _), parameters in stacks.items():
                seen = torch.stack(self._look_ahead(parameters, group))
                updates = orthogonal(seen, group["ns_coefficients"], group["ns_steps"], group["eps"])
                torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
                rate = group["lr"] * 0.2 * max(shape) ** 0.5
                torch._foreach_add_(parameters, updates.to(parameters[0].dtype).unbind(), alpha=-rate)
        return loss

    def _look_ahead(self, parameters: list[Tensor], group: dict[str, Any]) -> list[Tensor]:
        """The gradients, averaged as the options say. All at once: on a GPU starting an operation costs more than such a small one."""
        gradients = [gradient for parameter in parameters if (gradient := parameter.grad) is not None]
        for parameter in parameters:
            if "momentum_buffer" not in self.state[parameter]:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        averages = [self.state[parameter]["momentum_buffer"] for parameter in parameters]
        torch._foreach_lerp_(averages, gradients, 1 - group["momentum"])
        return list(torch._foreach_lerp(gradients, averages, group["momentum"])) if group["nesterov"] else averages


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
