"""Log-mel spectrograms and the way back to a waveform without learned weights.

Frame k is centred at sample hop * (k + 1/2), so N samples give exactly N / hop frames. Mel filters follow Slaney.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

FLOOR = 1e-3


class Tables(NamedTuple):
    """Window (n_fft,), mel filters (mels, n_fft / 2 + 1) and their pseudo-inverse."""

    window: Tensor
    filters: Tensor
    inverse: Tensor


class Mel(nn.Module):
    """Waveform (B, N) <-> natural log-mel (B, mels, N / hop). Holds no weights; always computes in float32."""

    def __init__(self, sample_rate: int, n_fft: int, hop: int, mels: int, iterations: int, momentum: float) -> None:
        super().__init__()
        self.sample_rate, self.n_fft, self.hop, self.mels = sample_rate, n_fft, hop, mels
        self.iterations, self.momentum = iterations, momentum
        self._tables: dict[torch.device, Tables] = {}

    def tables(self, device: torch.device) -> Tables:
        """Made at first use on a device: they must not follow the module to half precision or to the meta device."""
        if device not in self._tables:
            filters = melscale_fbanks(
                self.n_fft // 2 + 1, 0.0, self.sample_rate / 2, self.mels, self.sample_rate, norm="slaney", mel_scale="slaney"
            ).T
            filters = filters / filters.amax()
            window = torch.hann_window(self.n_fft)
            self._tables[device] = Tables(*(x.to(device) for x in (window, filters, torch.linalg.pinv(filters))))
        return self._tables[device]

    def analyse(self, waveform: Tensor) -> Tensor:
        """(B, N) with N a multiple of the hop -> (B, mels, N / hop)."""
        magnitude = self._stft(F.pad(waveform.float(), (self.hop // 2, self.hop // 2))).abs()
        return (self.tables(waveform.device).filters @ magnitude[..., 1:-1]).clamp(min=FLOOR).log()

    def synthesise(self, log_mel: Tensor) -> Tensor:
        """(B, mels, K) -> (B, K * hop): spectrum by non-negative least squares, phase by fast Griffin-Lim (Perraudin 2013).

        The initial phase is fixed, so that decoding repeats itself and leaves the global random state alone.
        """
        magnitude = self._spectrum((log_mel.float().exp() - FLOOR).clamp(min=0))
        magnitude = F.pad(magnitude, (1, 1), mode="replicate")
        generator = torch.Generator().manual_seed(0)
        phase = torch.rand(magnitude.shape[1:], generator=generator).to(magnitude.device) * (2 * torch.pi)
        angles = torch.polar(torch.ones_like(magnitude), phase.expand_as(magnitude))
        previous = torch.zeros_like(angles)
        for _ in range(self.iterations):
            rebuilt = self._stft(self._istft(magnitude * angles))
            angles = rebuilt - self.momentum / (1 + self.momentum) * previous
            angles = angles / (angles.abs() + 1e-8)
            previous = rebuilt
        return self._istft(magnitude * angles)[:, self.hop // 2 : -(self.hop // 2)]

    def _spectrum(self, mel: Tensor) -> Tensor:
        """The non-negative spectrum whose mel is closest: least squares first, then Lee and Seung's multiplicative steps."""
        _, filters, inverse = self.tables(mel.device)
        spectrum = (inverse @ mel).clamp(min=1e-6)
        wanted = filters.T @ mel
        for _ in range(30):
            spectrum = spectrum * wanted / (filters.T @ (filters @ spectrum) + 1e-8)
        return spectrum

    def _stft(self, waveform: Tensor) -> Tensor:
        return torch.stft(
            waveform,
            self.n_fft,
            self.hop,
            window=self.tables(waveform.device).window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )

    def _istft(self, spectrum: Tensor) -> Tensor:
        return torch.istft(spectrum, self.n_fft, self.hop, window=self.tables(spectrum.device).window, center=True)
