"""Learning nano's codecs: principal components first, then the convolutions around them, then the statistics of the latents.

Clips are augmented (colour, contrast, mirror, shift, textures in place of faces), so that what is learned is pictures and not this corpus.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..codecs import NanoAudioCodec, NanoVideoCodec
from ..config import AudioConfig, VideoConfig
from ..latents import to_model_space
from .config import CodecConfig
from .corpus import as_frames
from .precision import knows_bf16

LATENT_NOISE = 0.05
"""Noise on the sound's latents while its decoder learns, in the model's space: what is generated is never exact."""
MOST_NOISE = 0.25
"""The same for pictures, where each row has another amount of it up to this."""
JUMPS = 3.0
"""How much more than other changes between frames those from one latent to the next count."""
LINEAR_SHARE = 0.02
"""Learning rate of the linear pair: principal components have small entries, which full steps would wreck."""
CHANGE_CLIPS = 100
TEXTURES = 0.3
"""Share of batches whose first row is a texture instead of a clip."""
Log = Callable[[str], None]


@dataclass(frozen=True)
class Clips:
    """frames (N, F, H, W, 3) uint8; mouths (N, H, W), 1 where a clip's mouth is and 0 elsewhere, all 0 where that is not known."""

    frames: Tensor
    mouths: Tensor


def fit_video_codec(
    config: VideoConfig,
    clips: Clips,
    training: CodecConfig,
    seed: int,
    log: Log,
    earlier: Mapping[str, Tensor] | None = None,
    device: torch.device | None = None,
) -> tuple[NanoVideoCodec, VideoConfig]:
    """The codec, and the configuration with the latents' statistics and preview. It goes on from the weights of an `earlier` one."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    device = device or torch.device("cpu")
    codec = NanoVideoCodec(config).to(device)
    clips = Clips(clips.frames.to(device), clips.mouths.to(device))
    drawn = windows(clips, generator, 1 + 3 * codec.q, training.video_batch)
    if earlier is None:
        _principal(codec.project, codec.restore, _patches(codec, drawn, training, generator), training.whitening)
    else:
        codec.load_state_dict({name: value.float() for name, value in earlier.items()})

    def loss() -> Tensor:
        frames, mouths = next(drawn)
        latent = codec.encode(frames)
        return picture_loss(codec, frames, 1 + training.mouth * mouths, noisy(latent, spread(latent), generator))

    optimise(codec, loss, training.video_steps, training.lr, "video codec", log)
    config = _video_statistics(codec, config, drawn)
    return codec.cpu().eval(), dataclasses.replace(config, change=_change(codec, config, clips.frames[:CHANGE_CLIPS].cpu()))


def spread(latent: Tensor) -> Tensor:
    """What brings a latent (B, C, T, h, w) to a variance of 1 on average over channels: a divisor, without a gradient."""
    return latent.detach().float().var(dim=(0, 2, 3, 4)).mean().sqrt()


def noisy(latent: Tensor, scale: Tensor, generator: torch.Generator) -> Tensor:
    """A latent whose rows have noise of up to MOST_NOISE, in units of `scale`."""
    amount = MOST_NOISE * torch.rand(len(latent), 1, 1, 1, 1, generator=generator)
    noise = amount * torch.randn(latent.shape, generator=generator)
    return latent + scale * noise.to(latent.device)


def _patches(codec: NanoVideoCodec, drawn: Iterator[tuple[Tensor, Tensor]], training: CodecConfig, generator: torch.Generator) -> Tensor:
    """Space-time patches (N, P) of pictures: what is drawn and what moves, not empty walls, and more of mouths."""
    patches = []
    for _ in range(48):
        frames, mouths = next(drawn)
        x = torch.cat([frames[:, :, :1].expand(-1, -1, codec.q - 1, -1, -1), frames], dim=2)
        x = rearrange(x, "b c (t q) (h y) (w x) -> (b t h w) (q c y x)", q=codec.q, y=codec.p, x=codec.p)
        cells = x.view(len(x), codec.q, -1)
        interest = 0.05 + cells.std(2).mean(1) + 4 * cells.std(1).mean(1)
        mouth = F.avg_pool2d(mouths[:, None], codec.p)[:, 0]
        interest = interest * (1 + training.mouth * mouth[:, None].expand(-1, x.shape[0] // mouth.numel(), -1, -1).flatten())
        patches.append(x[torch.multinomial(interest.cpu(), min(400, len(x)), generator=generator).to(x.device)])
    return torch.cat(patches)


def fit_audio_codec(
    config: AudioConfig,
    waveforms: list[Tensor],
    training: CodecConfig,
    seed: int,
    log: Log,
    earlier: tuple[AudioConfig, Mapping[str, Tensor]] | None = None,
) -> tuple[NanoAudioCodec, AudioConfig]:
    """waveforms (1, 1, N) each -> the codec and the configuration with the latents' statistics.

    It goes on from an `earlier` codec, where one is given; then the statistics stay, so that a model of its latents still knows them.
    """
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    codec = NanoAudioCodec(config)
    tokens = 48
    mels = [m for m in (codec.mel_of(w)[0] for w in waveforms) if m.shape[1] >= tokens * codec.frames_per_token]

    def draw() -> Tensor:
        rows = []
        for i in torch.randint(len(mels), (training.audio_batch,), generator=generator).tolist():
            frames = tokens * codec.frames_per_token
            start = int(torch.randint(mels[i].shape[1] - frames + 1, (), generator=generator))
            rows.append(mels[i][:, start : start + frames])
        quiet = torch.stack(rows)
        gain = torch.rand(len(rows), 1, 1, generator=generator) * 0.8 - 0.5
        return torch.maximum(quiet + gain, quiet.amin())

    if earlier is None:
        sample = torch.cat([rearrange(draw(), "b m (t k) -> (b t) (k m)", k=codec.frames_per_token) for _ in range(12)])
        _principal(codec.project, codec.restore, sample, training.whitening)
        config = _audio_statistics(codec, config, mels)
    else:
        codec.load_state_dict({name: value.float() for name, value in earlier[1].items()})
        config = dataclasses.replace(config, mean=earlier[0].mean, std=earlier[0].std)
    scale = torch.tensor(config.std).view(1, -1, 1)

    def loss() -> Tensor:
        mel = draw()
        latent = codec.encode_mel(mel)
        rebuilt = codec.decode_mel(latent + LATENT_NOISE * scale * torch.randn(latent.shape, generator=generator))
        error = rebuilt - mel
        return error.abs().mean() + 0.25 * error.square().mean()

    optimise(codec, loss, training.audio_steps, training.lr, "audio codec", log)
    return codec.eval(), config if earlier else _audio_statistics(codec, config, mels)


def textures(count: int, frames: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Moving coloured noise with a natural picture's 1/f spectrum: (count, 3, frames, H, W) in [-1, 1]."""
    height, width = size
    fy, fx = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
    radius = (fy.square() + fx.square()).sqrt().clamp(min=1 / max(size))
    slope = 1 + 0.6 * torch.rand(count, 1, 1, 1, generator=generator)
    noise = torch.fft.rfft2(torch.randn(count, 3, height, width, generator=generator)) / radius**slope
    picture = torch.fft.irfft2(noise, s=size)
    mix = torch.eye(3) * 0.4 + 0.6 / 3 + 0.2 * torch.randn(count, 3, 3, generator=generator)
    picture = torch.einsum("nij,njhw->nihw", mix, picture / picture.std(dim=(1, 2, 3), keepdim=True)) * 0.45
    picture = picture + 0.3 * torch.randn(count, 3, 1, 1, generator=generator)
    speed = torch.randint(-1, 2, (2,), generator=generator).tolist()
    return torch.stack([picture.roll((speed[0] * f, speed[1] * f), (2, 3)) for f in range(frames)], dim=2).clamp(-1, 1)


def windows(clips: Clips, generator: torch.Generator, frames: int, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Augmented windows (batch, 3, frames, H, W) and their mouths (batch, H, W) without end."""
    count, length, height, width = clips.frames.shape[:4]
    while True:
        rows, mouths = [], []
        for i in torch.randint(count, (batch,), generator=generator).tolist():
            start = int(torch.randint(length - frames + 1, (), generator=generator))
            x = clips.frames[i, start : start + frames].permute(3, 0, 1, 2).float() / 127.5 - 1
            mouth = clips.mouths[i]
            if torch.rand((), generator=generator) < 0.5:
                x, mouth = x.flip(-1), mouth.flip(-1)
            if torch.rand((), generator=generator) < 0.5:
                by = torch.randint(-8, 9, (2,), generator=generator).tolist()
                x, mouth = x.roll(by, (2, 3)), mouth.roll(by, (0, 1))
            if torch.rand((), generator=generator) < 0.6:
                mix = torch.eye(3) * (0.7 + 0.5 * torch.rand((), generator=generator)) + 0.12 * torch.randn(3, 3, generator=generator)
                tint = 0.15 * torch.randn(3, 1, 1, 1, generator=generator)
                x = torch.einsum("ij,jfhw->ifhw", mix.to(x.device), x) + tint.to(x.device)
            rows.append(x.clamp(-1, 1))
            mouths.append(mouth)
        if torch.rand((), generator=generator) < TEXTURES:
            rows[:1] = textures(1, frames, (height, width), generator).to(rows[0].device)
            mouths[0] = torch.zeros_like(mouths[0])
        yield torch.stack(rows), torch.stack(mouths)


def picture_loss(codec: NanoVideoCodec, frames: Tensor, weights: Tensor, latent: Tensor, places: Tensor | None = None) -> Tensor:
    """How far the latent decodes from the frames; what moves weighs more, and the picture's places by `weights` (B, H, W).

    What changes wrongly from frame to frame counts as much as what is wrong: lips close within two frames, half a latent. From one latent
    to the next it counts `JUMPS` times: latents err apart, and eyes see the beat. `places` as in `reconstruct`.
    """
    moving = frames.std(dim=2, keepdim=True).amax(1, keepdim=True)
    weight = (1 + 20 * F.max_pool2d(moving.flatten(0, 1), 5, 1, 2)[:, None].clamp(max=0.4)) * weights[:, None, None]
    error = codec.reconstruct(latent, places)[:, :, codec.q - 1 :].float() - frames
    change = error.diff(dim=2)
    jumps = torch.ones(change.shape[2], device=change.device)
    jumps[:: codec.q] = JUMPS
    wrong = (weight * (error.abs() + 4 * error.square())).mean()
    return (wrong + (weight * jumps.view(-1, 1, 1) * (change.abs() + 4 * change.square())).mean()) / weight.mean()


def _principal(project: nn.Linear, restore: nn.Linear, x: Tensor, whitening: float) -> None:
    """Set the linear pair to the principal components of x (N, P), partly whitened, with a variance of 1 on average over channels.

    Left alone, the first component would be so much larger than the last that convolutions would not see the fine ones.
    """
    mean = x.mean(0)
    _, _, basis = torch.svd_lowrank(x - mean, q=project.out_features + 16, niter=4)
    basis = basis[:, : project.out_features]
    std = ((x - mean) @ basis).std(0)
    scale = std**-whitening
    scale = scale / (std * scale).square().mean().sqrt()
    with torch.no_grad():
        project.weight.copy_((basis * scale).T)
        project.bias.copy_(-mean @ (basis * scale))
        restore.weight.copy_(basis / scale)
        restore.bias.copy_(mean)


def optimise(module: NanoAudioCodec | NanoVideoCodec, loss: Callable[[], Tensor], steps: int, lr: float, name: str, log: Log) -> None:
    """In bf16 where the device knows it: the video codec's convolutions are three times as fast there."""
    trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
    device = next(module.parameters()).device
    bf16 = isinstance(module, NanoVideoCodec) and knows_bf16(device)
    linear = [p for name, p in trained.items() if name.startswith(("project.", "restore."))]
    rest = [p for name, p in trained.items() if not name.startswith(("project.", "restore."))]
    groups = [{"params": rest, "share": 1.0}, {"params": linear, "share": LINEAR_SHARE}]
    optimizer = torch.optim.AdamW(groups, lr=lr, weight_decay=0.0, betas=(0.9, 0.98), fused=True)
    total = torch.zeros((), device=device)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = group["share"] * lr * min(1, (step + 1) / 30) * 0.5 * (1 + math.cos(math.pi * step / steps))
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            value = loss()
        value.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        total += value.detach()
        if (step + 1) % 50 == 0:
            log(f"{name} step {step + 1}/{steps} loss {total.item() / 50:.4f}")
            total.zero_()


def _scales(latents: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """latents (N, C) -> mean per channel, and one divisor that brings the variance to 1 on average over channels."""
    divisor = latents.std(0).square().mean().sqrt().item()
    return tuple(latents.mean(0).tolist()), (divisor,) * latents.shape[1]


@torch.no_grad()
def _video_statistics(codec: NanoVideoCodec, config: VideoConfig, drawn: Iterator[tuple[Tensor, Tensor]]) -> VideoConfig:
    latents, colours = [], []
    for _ in range(24):
        frames = next(drawn)[0][1:]  # the first may be a texture
        latents.append(rearrange(codec.encode(frames).cpu(), "b c t h w -> (b t h w) c"))
        last = frames[:, :, :: codec.q]
        colours.append(rearrange(F.avg_pool3d(last, (1, codec.p, codec.p)).cpu(), "b c t h w -> (b t h w) c"))
    x, rgb = torch.cat(latents), torch.cat(colours)
    mean, std = _scales(x)
    model = (x - torch.tensor(mean)) / torch.tensor(std)
    preview = torch.linalg.lstsq(torch.cat([model, torch.ones(len(x), 1)], dim=1), rgb).solution
    return dataclasses.replace(config, mean=mean, std=std, preview=tuple(tuple(row) for row in preview.tolist()))


@torch.no_grad()
def _change(codec: NanoVideoCodec, config: VideoConfig, clips: Tensor) -> float:
    """Root mean square distance of a clip's later latents from its first, in model space."""
    squares = []
    for clip in clips:
        latent = to_model_space(codec.encode(as_frames(clip)[None]), config)
        squares.append((latent[:, :, 1:] - latent[:, :, :1]).square().mean())
    return torch.stack(squares).mean().sqrt().item()


@torch.no_grad()
def _audio_statistics(codec: NanoAudioCodec, config: AudioConfig, mels: list[Tensor]) -> AudioConfig:
    latents = torch.cat([codec.encode_mel(m[None])[0].T for m in mels[:400]])
    mean, std = _scales(latents)
    return dataclasses.replace(config, mean=mean, std=std)
