"""Recordings of any kind made ready: checked, one channel, the model's rate, one loudness. Waveforms are float32, (channels, samples)."""

from __future__ import annotations

from fractions import Fraction

import torch
import torchaudio
from torch import Tensor

LOUDNESS = -26.3
"""LUFS (ITU-R BS.1770, gated). What the training corpus's own measure, `voice.ACTIVE_RMS`, comes to on speech: 60 sentences by 12
synthetic voices, deviation 0.7."""
LOUDNESS_BLOCK = 0.4
"""Seconds."""
ABSOLUTE_GATE, RELATIVE_GATE = -70.0, 10.0
"""LUFS: blocks below are silence; LU below the mean of the others: pauses."""
K_RATE = 48000
K_WEIGHTING = (
    ((1.53512485958697, -2.69169618940638, 1.19839281085285), (1.0, -1.69065929318241, 0.73248077421585)),
    ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621)),
)
"""(b, a) of the standard's two filters at 48 kHz: the head's shelf, and a high pass."""
SILENCE_PEAK = 1e-3
LARGEST_GAIN = 100.0
FINEST_RATIO = 1000
"""Rates are converted in ratios of at most this many samples: an odd rate such as 44099 Hz is off by less than one part in a million, and
does not need a filter bank of gigabytes."""
LOW_FREQUENCY = {6: 3, 8: 3}
"""Where the low-frequency channel is in 5.1 and 7.1 sound (FL FR FC LFE ...): it holds no speech."""
CANCELLED_DB = 12.0


class RecordingError(ValueError):
    """Sound that cannot be used; the message says why and what to do."""


def check_recording(waveform: Tensor, sample_rate: int, what: str) -> None:
    """Raises RecordingError unless this is (channels, samples) with finite samples at a possible rate."""
    if waveform.ndim != 2 or 0 in waveform.shape:
        raise RecordingError(f"{what} is empty (shape {tuple(waveform.shape)})")
    if sample_rate <= 0:
        raise RecordingError(f"{what} has an impossible sample rate ({sample_rate} Hz)")
    if not torch.isfinite(waveform).all():
        raise RecordingError(f"{what} holds NaN or infinite samples; export it again")


def downmix(waveform: Tensor) -> Tensor:
    """(channels, N) -> (1, N): the mean, without a low-frequency channel. Where channels cancel each other out, the loudest of them."""
    waveform = waveform.float()
    if (lfe := LOW_FREQUENCY.get(waveform.shape[0])) is not None:
        waveform = waveform[[c for c in range(waveform.shape[0]) if c != lfe]]
    mono = waveform.mean(0, keepdim=True)
    power = waveform.square().mean(1)
    # Channels that have nothing to do with each other lose 10 log10(channels); more than that is opposite phase.
    uncorrelated = power.sum() / waveform.shape[0] ** 2
    if mono.square().mean() < uncorrelated * 10 ** (-CANCELLED_DB / 10):
        return waveform[power.argmax()][None]
    return mono


def resample(waveform: Tensor, sample_rate: int, target_rate: int) -> Tensor:
    """(..., N) at `sample_rate` Hz -> at `target_rate` Hz."""
    ratio = Fraction(target_rate, sample_rate).limit_denominator(FINEST_RATIO)
    return waveform if ratio == 1 else torchaudio.functional.resample(waveform, ratio.denominator, ratio.numerator)


def loudness(waveform: Tensor, sample_rate: int) -> float:
    """Gated loudness of (channels, N) in LUFS; minus infinity for silence. A recording shorter than a block is repeated to fill one.

    ITU-R BS.1770-4, all channels with weight 1; at 48 kHz, for which the standard gives its filters.
    """
    x = resample(waveform.double(), sample_rate, K_RATE)
    block = round(LOUDNESS_BLOCK * K_RATE)
    if x.shape[-1] < block:
        x = x.repeat(1, -(-block // x.shape[-1]))
    for b, a in K_WEIGHTING:
        x = torchaudio.functional.lfilter(x, x.new_tensor(a), x.new_tensor(b), clamp=False)
    power = x.unfold(-1, block, block // 4).square().mean(-1).sum(0)
    power = power[_lufs(power) > ABSOLUTE_GATE]
    if len(power):
        power = power[_lufs(power) > _lufs(power.mean()) - RELATIVE_GATE]
    return float(_lufs(power.mean())) if len(power) else float("-inf")


def _lufs(power: Tensor) -> Tensor:
    return -0.691 + 10 * torch.log10(power + 1e-20)


def gain_to(waveform: Tensor, sample_rate: int, target: float = LOUDNESS) -> float:
    """The factor that brings (channels, N) to the loudness `target`; 1 for silence."""
    level = loudness(waveform, sample_rate)
    return 1.0 if level == float("-inf") else min(10 ** ((target - level) / 20), LARGEST_GAIN)


def prepare_speech(waveform: Tensor, sample_rate: int, target_rate: int, samples: int) -> tuple[Tensor, float]:
    """Speech that is given, (channels, N) -> what the model hears of it, (1, samples) at `target_rate`, and the gain it was brought up by.

    It keeps its place in time: it is cut or followed by silence. Raises RecordingError for a recording that is empty or not finite.
    """
    check_recording(waveform, sample_rate, "the recording")
    mono = resample(downmix(waveform), sample_rate, target_rate)[:, :samples]
    gain = gain_to(mono, target_rate)
    return torch.nn.functional.pad(mono * gain, (0, samples - mono.shape[-1])).clamp(-1, 1), gain
