"""Models by name. A preset fixes the architecture; what is learned (latent statistics) is filled in by training."""

from __future__ import annotations

from dataclasses import replace

from .config import BLOCK_MODULES, EMBEDDINGS, AudioConfig, ModelConfig, SamplingConfig, TextConfig, TransformerConfig, VideoConfig

# Mean and deviation of the Wan2.2 VAE's 48 latent channels, as published with it (Wan2.2, wan/modules/vae2_2.py).
WAN22_MEAN = (
    -0.2289,
    -0.0052,
    -0.1323,
    -0.2339,
    -0.2799,
    0.0174,
    0.1838,
    0.1557,
    -0.1382,
    0.0542,
    0.2813,
    0.0891,
    0.157,
    -0.0098,
    0.0375,
    -0.1825,
    -0.2246,
    -0.1207,
    -0.0698,
    0.5109,
    0.2665,
    -0.2108,
    -0.2158,
    0.2502,
    -0.2055,
    -0.0322,
    0.1109,
    0.1567,
    -0.0729,
    0.0899,
    -0.2799,
    -0.123,
    -0.0313,
    -0.1649,
    0.0117,
    0.0723,
    -0.2839,
    -0.2083,
    -0.052,
    0.3748,
    0.0152,
    0.1957,
    0.1433,
    -0.2944,
    0.3573,
    -0.0548,
    -0.1681,
    -0.0667,
)
WAN22_STD = (
    0.4765,
    1.0364,
    0.4514,
    1.1677,
    0.5313,
    0.499,
    0.4818,
    0.5013,
    0.8158,
    1.0344,
    0.5894,
    1.0901,
    0.6885,
    0.6165,
    0.8454,
    0.4978,
    0.5759,
    0.3523,
    0.7135,
    0.6804,
    0.5833,
    1.4146,
    0.8986,
    0.5659,
    0.7069,
    0.5338,
    0.4889,
    0.4917,
    0.4069,
    0.4999,
    0.6866,
    0.4093,
    0.5709,
    0.6065,
    0.6415,
    0.4944,
    0.5726,
    1.2042,
    0.5458,
    1.6887,
    0.3971,
    1.06,
    0.3943,
    0.5537,
    0.5444,
    0.4089,
    0.7468,
    0.7744,
)


def nano() -> ModelConfig:
    """A UniTalking small enough for a laptop: 128x128 at 24 fps, speech at 16 kHz, about two seconds."""
    return ModelConfig(
        name="nano",
        transformer=TransformerConfig(layers=6, dim=192, heads=3, ffn_dim=768, text_dim=192, freq_dim=128, audio_kernel=5, predicts="data"),
        video=VideoConfig(
            codec="nano-video",
            channels=48,
            fps=24,
            width=128,
            height=128,
            options={"hidden": 112, "blocks": 2, "fine": 48, "fine_blocks": 2, "past_blocks": 1},
        ),
        audio=AudioConfig(
            codec="nano-audio",
            channels=40,
            sample_rate=16000,
            samples_per_token=640,
            max_voice_tokens=75,
            options={"hidden": 192, "blocks": 2, "vocoder": "griffin-lim", "iterations": 50, "momentum": 0.99},
        ),
        text=TextConfig(encoder="nano-text", tokens=192, options={"hidden": 128, "blocks": 3, "layers": 2}),
        sampling=SamplingConfig(
            shift=3.0, steps=20, text_scale=1.0, audio_text_scale=2.0, voice_scale=3.0, video_sync_scale=1.0, seconds=49 / 24
        ),
    )


def pico() -> ModelConfig:
    """Nano's codecs under a quarter of its transformer, for comparisons that must be cheap. It is not meant to be good."""
    model = nano()
    return replace(model, name="pico", transformer=replace(model.transformer, layers=4, dim=128, heads=2, ffn_dim=512))


def ten_b() -> ModelConfig:
    """UniTalking at the paper's size (arXiv 2603.01418): Wan2.2-TI2V-5B and its twin for sound at 44.1 kHz, 43.066 tokens a second.

    Codecs and text encoder are public models that a checkpoint names and does not bundle: Wan2.2's VAE, MMAudio's 44.1 kHz VAE, UMT5-XXL.
    The paper tells the width, depth, heads, the 512 text and the 257 voice tokens. How sound is embedded, how long clips are and how many
    pixels they have it does not tell: those are Wan2.2's here (121 frames of 1280x704), and sound has a plain projection.
    """
    return ModelConfig(
        name="10b",
        transformer=TransformerConfig(layers=30, dim=3072, heads=24, ffn_dim=14336, text_dim=4096),
        video=VideoConfig(codec="wan2.2-vae", channels=48, fps=24, width=1280, height=704, mean=WAN22_MEAN, std=WAN22_STD),
        audio=AudioConfig(codec="mmaudio-44k", channels=40, sample_rate=44100, samples_per_token=1024, max_voice_tokens=257),
        text=TextConfig(encoder="umt5-xxl", tokens=512),
        sampling=SamplingConfig(shift=5.0, steps=50, text_scale=5.0, seconds=121 / 24),
    )


def ten_b_16k() -> ModelConfig:
    """`ten_b` with MMAudio's 16 kHz VAE, 31.25 tokens a second: the sound of Ovi, whose audio tower can warm-start the twin."""
    audio = AudioConfig(codec="mmaudio-16k", channels=20, sample_rate=16000, samples_per_token=512, max_voice_tokens=257)
    return replace(ten_b(), name="10b-16k", audio=audio)


def nava_sharing(double: int, layers: int) -> tuple[tuple[int, int, tuple[str, ...]], ...]:
    """What NAVA's streams share: in the first `double` blocks norm3 and the feed-forward layers, in the others everything."""
    ranges = ((0, double - 1, ("norm3", "ffn")), (double, layers - 1, BLOCK_MODULES))
    return tuple(rule for rule in ranges if rule[0] <= rule[1])


def nava_6b() -> ModelConfig:
    """NAVA's public 6.3B model (arXiv 2605.30073; github.com/ernie-research/NAVA, configs/NAVA_6B.json, pipeline_nava.py).

    Wan2.2-TI2V-5B's latents and text; sound in LTX-2.3's audio latents, 25 tokens of 8 x 16 values a second, which its vocoder turns into
    48 kHz stereo (NAVA itself writes 16 kHz); voices as vectors of a speaker encoder. Its plain guidance strengths s are scales of 1 + s.
    """
    return ModelConfig(
        name="nava-6b",
        transformer=TransformerConfig(
            layers=30,
            dim=3072,
            heads=24,
            ffn_dim=14336,
            text_dim=4096,
            audio_kernel=7,
            audio_hidden=8192,
            speakers=2,
            sharing=nava_sharing(10, 30),
            shared_embeddings=EMBEDDINGS,
        ),
        video=VideoConfig(codec="wan2.2-vae", channels=48, fps=24, width=1280, height=704, mean=WAN22_MEAN, std=WAN22_STD),
        audio=AudioConfig(codec="ltx-2.3-audio", channels=128, sample_rate=48000, samples_per_token=1920, max_voice_tokens=0, phase=0.0),
        text=TextConfig(encoder="umt5-xxl", tokens=512),
        sampling=SamplingConfig(
            shift=5.0,
            steps=50,
            text_scale=4.0,
            audio_text_scale=3.0,
            voice_scale=4.0,
            video_sync_scale=3.0,
            audio_sync_scale=2.0,
            lone_voice=True,
            seconds=145 / 24,
        ),
    )


PRESETS = {"nano": nano, "pico": pico, "10b": ten_b, "10b-16k": ten_b_16k, "nava-6b": nava_6b}
