"""The command line: `python -m unitalking_core <command>` (or `unitalking` where the package is installed).

Every command is a thin call into a room of the core; heavy imports happen inside it, so that `--help` is quick.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .part_options import add_part_options, part_files

NANO = Path(__file__).parent.parent / "models" / "nano" / "unitalking-nano.safetensors"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. Errors of input are one line on stderr, not a traceback."""
    parser = argparse.ArgumentParser(prog="unitalking", description="Talking portraits: picture and speech generated together.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_generate(commands)
    _add_prepare(commands)
    _add_train(commands)
    _add_evaluate(commands)
    _add_assemble(commands)
    _add_merge(commands)
    _add_info(commands)
    _add_convert_audio_codec(commands)
    _add_convert_gguf(commands)
    _add_convert_nava(commands)
    _add_convert_speaker_encoder(commands)
    options, rest = parser.parse_known_args(arguments)
    if rest and "forward" not in options:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    # Asked to end, a command cleans up after itself as it does when interrupted: no unfinished file stays.
    before = signal.signal(signal.SIGTERM, _end)
    try:
        return _carry_out(options, rest)
    except KeyboardInterrupt:
        print(f"unitalking {options.command}: stopped", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)


def _carry_out(options: argparse.Namespace, rest: list[str]) -> int:
    from .data.waveforms import SpeechError
    from .media import ClipError

    try:
        if "forward" in options:  # a room with a command line of its own
            options.forward(rest)
        else:
            options.run(options)
    except (ValueError, OSError, ClipError, SpeechError) as error:
        print(f"unitalking {options.command}: {error}", file=sys.stderr)
        return 1
    return 0


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _add_generate(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("generate", help="text + portrait + voice -> a clip, without ComfyUI")
    parser.add_argument("text", help="what is said, such as '<S>hello there<E> a woman with glasses'; with --script a description alone")
    parser.add_argument("--script", type=Path, help="a text file of any length to speak: cut at its sentences, joined to one clip")
    parser.add_argument("--out", type=Path, default=Path("clip.mp4"), help="the clip to write, .mp4 or .webm (default: %(default)s)")
    parser.add_argument("--portrait", type=Path, help="a picture of a face; without it the model draws one")
    parser.add_argument("--voice", type=Path, help="3 to 5 s of speech; without it the model chooses a voice")
    parser.add_argument("--checkpoint", type=Path, default=NANO, help="a UniTalking checkpoint (default: the nano model)")
    add_part_options(parser)
    parser.add_argument("--seconds", type=float, help="length of the clip (default: the model's own)")
    parser.add_argument("--seed", type=int, default=0)
    for name, kind, what in (
        ("steps", int, "of sampling"),
        ("text-scale", float, "guidance by the text"),
        ("voice-scale", float, "guidance by the voice"),
        ("sync-scale", float, "guidance by the other stream"),
    ):
        parser.add_argument(f"--{name}", type=kind, help=f"{what} (default: the model's own)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, mps (default: %(default)s)")
    parser.set_defaults(run=_generate)


def _generate(options: argparse.Namespace) -> None:
    from .conditions.script import parse
    from .flow import Guidance
    from .generate import Pipeline
    from .long import generate_long
    from .media import Encoding, write_clip
    from .reading import read_audio, read_image

    encoding = Encoding.for_path(options.out)
    if options.script is not None and options.seconds is not None:
        raise ValueError("--seconds does not go with --script: a script takes as long as its words need")
    if options.steps is not None and options.steps < 1:
        raise ValueError(f"at least one step is needed, got --steps {options.steps}")
    started = time.perf_counter()
    pipeline = Pipeline.load(options.checkpoint, _device(options.device), files=part_files(options))

    def show(what: str) -> Callable[[int, int], None]:
        return _progress(lambda done, total: f"{what} {done}/{total}")

    common: dict[str, Any] = {
        "portrait": None if options.portrait is None else read_image(options.portrait),
        "voice": None if options.voice is None else read_audio(options.voice),
        "seed": options.seed,
        "steps": options.steps,
        "guidance": Guidance.of(pipeline.config.sampling, options.text_scale, options.voice_scale, options.sync_scale),
    }
    if options.script is None:
        clip = pipeline.generate(options.text, seconds=options.seconds, on_step=show("step"), **common)
    else:
        script = parse(options.script.read_text(encoding="utf-8"), options.text)
        clip = generate_long(pipeline, script, on_part=show("part"), **common).clips[0]
    write_clip(
        options.out,
        clip.frames(),
        clip.waveform,
        fps=clip.clip.timeline.exact_fps,
        sample_rate=clip.clip.timeline.sample_rate,
        encoding=encoding,
    )
    print(f"{options.out}: {clip.clip.describe(options.seconds)}, made in {time.perf_counter() - started:.1f} s")


def _progress(text: Callable[[int, int], str]) -> Callable[[int, int], None]:
    """Shows `text(done, total)` on stderr: one line that is written over on a terminal, in a log a line for every change."""
    last = ""

    def show(done: int, total: int) -> None:
        nonlocal last
        line = text(done, total)
        if sys.stderr.isatty():
            print(f"\r{line}", end="" if done < total else "\n", file=sys.stderr, flush=True)
        elif line != last:
            print(line, file=sys.stderr, flush=True)
        last = line

    return show


def _device(name: str) -> str:
    import torch

    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"this torch cannot use the device '{name}'") from error
    return name


def _add_prepare(commands: argparse._SubParsersAction) -> None:
    kinds = commands.add_parser("prepare", help="make a corpus").add_subparsers(dest="kind", required=True, metavar="KIND")
    parser = kinds.add_parser("synthetic", help="free voices on drawn faces", add_help=False)
    parser.set_defaults(forward=_prepare_synthetic)
    parser = kinds.add_parser("faces", help="drawn faces for a synthetic corpus's clips of speech alone", add_help=False)
    parser.set_defaults(forward=_prepare_faces)
    parser = kinds.add_parser("guests", help="voices of other languages, to be likened to", add_help=False)
    parser.set_defaults(forward=_prepare_guests)


def _prepare_synthetic(arguments: Sequence[str]) -> None:
    from .data.synthetic import main

    main(list(arguments))


def _prepare_faces(arguments: Sequence[str]) -> None:
    from .data.later_faces import main

    main(list(arguments))


def _prepare_guests(arguments: Sequence[str]) -> None:
    from .data.guests import main

    main(list(arguments))


def _add_train(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("train", help="train a model as a JSON file says; goes on where it was stopped", add_help=False)
    parser.set_defaults(forward=_train)


def _train(arguments: Sequence[str]) -> None:
    from .training.__main__ import main

    main(arguments)


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    from .evaluation.command import add_options, run

    parser = commands.add_parser("evaluate", help="measure a checkpoint on held-out clips, with outside tools")
    add_options(parser)
    parser.set_defaults(run=run)


def _add_assemble(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("assemble", help="Wan2.2-TI2V-5B and a twin for sound -> a full-size model to train")
    parser.add_argument("--video", type=Path, required=True, help="Wan2.2-TI2V-5B: a file, a shard or index of shards, or their folder")
    parser.add_argument(
        "--audio", default="random", help="the sound's stream: random, copy (of the video's) or ovi:FILE (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    parser.add_argument("--audio-rate", choices=("44k", "16k"), default="44k", help="the sound's codec (default: %(default)s)")
    parser.add_argument("--dtype", choices=("bf16", "fp16", "fp32", "fp8_e4m3fn_scaled"), default="bf16", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the weights that are drawn")
    parser.set_defaults(run=_assemble)


def _assemble(options: argparse.Namespace) -> None:
    from .checkpoint.assemble import assemble
    from .memory import peak_memory

    show = _progress(lambda done, total: f"{done / total:4.0%} of {total / 1e9:.2f} billion weights")
    started = time.perf_counter()
    made = assemble(options.video, options.audio, options.out, options.audio_rate, options.dtype, options.seed, show)
    print(made.describe())
    peak = peak_memory()
    print(
        f"{options.out}: {made.config.name}, {options.out.stat().st_size / 1e9:.2f} GB in {time.perf_counter() - started:.1f} s"
        + ("" if peak is None else f", peak memory {peak / 1e9:.2f} GB")
    )


def _add_merge(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("merge", help="two checkpoints of one model -> their average, such as before and after fine-tuning")
    parser.add_argument("first", type=Path, help="a checkpoint; codecs and settings of sampling are this one's")
    parser.add_argument("second", type=Path, help="another one of the same model")
    parser.add_argument("--share", type=float, default=0.5, help="of the second, 0 to 1 (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    parser.set_defaults(run=_merge)


def _merge(options: argparse.Namespace) -> None:
    from .checkpoint import load
    from .checkpoint.merge import merge

    if not 0 <= options.share <= 1:
        raise ValueError(f"--share is between 0 and 1, got {options.share}")
    merge(options.out, load(options.first), load(options.second), options.share)
    print(f"{options.out}: {1 - options.share:.2f} of {options.first.name}, {options.share:.2f} of {options.second.name}")


def _add_info(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("info", help="what a preset or a file is: its kind, size, parameters by part, configuration")
    parser.add_argument("checkpoint", nargs="?", default=str(NANO), help="nano, 10b, 10b-16k ..., or a file, index or folder of weights")
    parser.add_argument("--check", action="store_true", help="read every weight of the file and look for NaN")
    parser.set_defaults(run=_info)


def _info(options: argparse.Namespace) -> None:
    from .checkpoint.report import describe

    print(describe(options.checkpoint, options.check))


def _add_convert_audio_codec(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("convert-audio-codec", help="MMAudio's published VAE and vocoder -> one safetensors file")
    parser.add_argument("--vae", type=Path, required=True, help="v1-44.pth, v1-16.pth or a re-packaging of them")
    parser.add_argument("--vocoder", type=Path, help="bigvgan_generator.pt (44k) or best_netG.pt (16k); left out: the same file holds both")
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    parser.add_argument("--dtype", choices=("fp32", "fp16", "bf16"), default="fp32", help="of the stored weights (default: %(default)s)")
    parser.set_defaults(run=_convert_audio_codec)


def _convert_audio_codec(options: argparse.Namespace) -> None:
    from .codecs.convert import DTYPES, convert

    config = convert(options.vae, options.vocoder or options.vae, options.out, DTYPES[options.dtype])
    print(f"{options.out}: {config.codec}, {config.sample_rate} Hz, {options.out.stat().st_size / 1e6:.0f} MB in {options.dtype}.")
    print("MMAudio's weights are CC BY-NC 4.0, not for commercial use; NVIDIA's vocoder is MIT.")


def _add_convert_gguf(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("convert-gguf", help="a checkpoint -> a GGUF file whose large weights have four to eight bits")
    parser.add_argument("checkpoint", type=Path, help="a UniTalking checkpoint in bf16, fp16 or fp32")
    parser.add_argument("--kind", default="q8_0", help="q8_0 (8.5 bits a weight), q5_0 (5.5) or q4_0 (4.5) (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="the .gguf file to write")
    parser.set_defaults(run=_convert_gguf)


def _convert_gguf(options: argparse.Namespace) -> None:
    from .checkpoint import gguf, load

    gguf.save(options.out, load(options.checkpoint), options.kind)
    print(f"{options.out}: {options.out.stat().st_size / 1e9:.2f} GB, {options.checkpoint.stat().st_size / 1e9:.2f} GB before")


def _add_convert_nava(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("convert-nava", help="NAVA's weights, also a pickle of earlier days -> a checkpoint in our names")
    parser.add_argument("weights", type=Path, help=".ckpt, .pt or .safetensors, in 16 or 32 bits")
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    parser.add_argument("--dtype", choices=("fp32", "fp16", "bf16"), default="bf16", help="of the stored weights (default: %(default)s)")
    parser.set_defaults(run=_convert_nava)


def _convert_nava(options: argparse.Namespace) -> None:
    from .checkpoint.nava import convert
    from .codecs.convert import DTYPES, read_weights

    config = convert(read_weights(options.weights), options.out, DTYPES[options.dtype])
    print(f"{options.out}: {config.name}, {options.out.stat().st_size / 1e9:.2f} GB in {options.dtype}")


def _add_convert_speaker_encoder(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("convert-speaker-encoder", help="ReDimNet's published file -> safetensors, for NAVA's voices")
    parser.add_argument("published", type=Path, help="M-vb2+vox2+cnc-ft_mix.pt of github.com/IDRnD/ReDimNet/releases")
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    parser.set_defaults(run=_convert_speaker_encoder)


def _convert_speaker_encoder(options: argparse.Namespace) -> None:
    from .conditions.speaker_encoder import convert

    vector = convert(options.published, options.out).linear.out_features
    print(
        f"{options.out}: speaker vectors of {vector} values, {options.out.stat().st_size / 1e6:.1f} MB. ReDimNet is under the MIT licence."
    )


if __name__ == "__main__":
    sys.exit(main())
