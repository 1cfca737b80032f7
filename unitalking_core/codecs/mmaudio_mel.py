"""The log-mel spectrogram that MMAudio's VAE reads.

Source: MMAudio, ext/mel_converter.py (974010a). K frames, K = floor(N / hop); mel filters follow Slaney.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

FLOOR = 1e-5


class MMAudioMel(nn.Module):
    """Waveform (B, N) -> log-mel (B, mels, K). Holds no weights; always computes in float32."""

    def __init__(self, sample_rate: int, n_fft: int, hop: int, mels: int, *, decibels: bool) -> None:
        """`decibels`: the logarithm is to base 10, as at 16 kHz, and not the natural one."""
        super().__init__()
        self.sample_rate, self.n_fft, self.hop, self.mels, self.decibels = sample_rate, n_fft, hop, mels, decibels
        self._tables: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def forward(self, waveform: Tensor, basis: Tensor | None = None) -> Tensor:
        """`basis` (mels, n_fft / 2 + 1) replaces the filters computed here. Needs N > (n_fft - hop) / 2."""
        window, filters = self._on(waveform.device)
        edge = (self.n_fft - self.hop) // 2
        padded = F.pad(waveform.float().clamp(-1, 1)[:, None], (edge, edge), mode="reflect")[:, 0]
        spectrum = torch.stft(padded, self.n_fft, self.hop, window=window, center=False, return_complex=True)
        magnitude = (torch.view_as_real(spectrum).square().sum(-1) + 1e-9).sqrt()
        mel = ((filters if basis is None else basis) @ magnitude).clamp(min=FLOOR)
        return mel.log10() if self.decibels else mel.log()

    def _on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Window and filters, made at first use on a device: they must not follow the module to half precision or to the meta device."""
        if device not in self._tables:
            filters = melscale_fbanks(
                self.n_fft // 2 + 1, 0.0, self.sample_rate / 2, self.mels, self.sample_rate, norm="slaney", mel_scale="slaney"
            )
            self._tables[device] = torch.hann_window(self.n_fft, device=device), filters.T.to(device)
        return self._tables[device]
