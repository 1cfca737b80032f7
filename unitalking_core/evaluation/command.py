"""`unitalking evaluate`: its options, and from them to the JSON file and the report."""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from pathlib import Path

from ..part_options import add_part_options, part_files

ROOT = Path(__file__).parent.parent.parent
TOOLS = ROOT / ".host" / "evaluation"
TASKS = "TIR2AV,A2V,TV2A,T2A,TIR2AV-apart"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("checkpoint", type=Path, help="a UniTalking checkpoint")
    add_part_options(parser)
    parser.add_argument("--corpus", type=Path, required=True, help="a folder with manifest.jsonl; its held-out clips are the test")
    parser.add_argument("--json", type=Path, required=True, metavar="OUT", help="where the figures go")
    parser.add_argument("--manifest", type=Path, help="a test manifest: the corpus must have exactly these held-out clips")
    parser.add_argument("--write-manifest", type=Path, metavar="OUT", help="also write the corpus's held-out clips as a test manifest")
    parser.add_argument("--clips", type=int, help="measure the first so many (default: all held-out ones)")
    parser.add_argument(
        "--tasks",
        default=TASKS,
        help="rows of the table of tasks; -apart keeps the streams apart, -untold withholds the text (default: %(default)s)",
    )
    parser.add_argument("--work", type=Path, help="keeps clips and readings, to look at and to go on from (default: nothing is kept)")
    parser.add_argument("--report", type=Path, metavar="DIR", help="also write a report page there")
    parser.add_argument("--workers", type=int, default=1, help="processes that read clips (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=8, help="clips sampled at once (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="of sampling (default: the checkpoint's own)")
    for name, what in (("text", "the text"), ("voice", "the voice"), ("sync", "the other stream")):
        parser.add_argument(f"--{name}-scale", type=float, help=f"guidance by {what} (default: the checkpoint's own)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="for sampling (default: %(default)s)")
    parser.add_argument("--tools", type=Path, default=TOOLS, help="where faces/, node_modules/ and whisper/ are (default: %(default)s)")
    parser.add_argument("--whisper", type=Path, help="a folder with another model for faster-whisper")


def run(options: argparse.Namespace) -> None:
    """Measure and write. Raises ValueError for options that cannot be."""
    if min(options.workers, options.batch) < 1 or any(n is not None and n < 1 for n in (options.steps, options.clips)):
        raise ValueError("--workers, --batch, --steps and --clips are at least 1")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("faster_whisper").setLevel(logging.WARNING)
    if options.work is not None:
        _evaluate(options, options.work)
        return
    with tempfile.TemporaryDirectory(prefix="unitalking-evaluation-") as folder:
        _evaluate(options, Path(folder))


def _evaluate(options: argparse.Namespace, work: Path) -> None:
    from ..flow import Guidance
    from ..generate import Pipeline
    from ..training.corpus import read_manifest
    from .clips import Maker, Settings, held_out
    from .evaluate import all_metrics, evaluate
    from .manifest import check_same, digest, write_test_manifest
    from .readings import Readings
    from .recordings import sha256_of
    from .tools import Place
    from .trials import Trial

    trials = [Trial.of(name.strip()) for name in options.tasks.split(",")]
    if options.manifest is not None:
        check_same(options.corpus, options.manifest)
    if options.write_manifest is not None:
        write_test_manifest(options.corpus, options.write_manifest)
    items = held_out(read_manifest(options.corpus), options.clips)
    pipeline = Pipeline.load(options.checkpoint, options.device, files=part_files(options))
    guidance = Guidance.of(pipeline.config.sampling, options.text_scale, options.voice_scale, options.sync_scale)
    settings = Settings(
        checkpoint=sha256_of(options.checkpoint),
        manifest=digest(options.corpus),
        steps=options.steps or pipeline.config.sampling.steps,
        guidance=guidance,
        seed=options.seed,
    )
    readings = Readings(work / "readings", options.workers)
    metrics = evaluate(
        Maker(pipeline, options.corpus, work, settings, options.batch),
        items,
        trials,
        all_metrics(Place(options.tools), options.whisper),
        options.checkpoint,
        readings,
    )
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    times = ", ".join(f"{tool} {seconds:.0f} s" for tool, seconds in readings.seconds.items())
    logging.getLogger(__name__).info("%s written (%s)", options.json, times or "all readings were there")
    if options.report is not None:
        from .report import write_report

        write_report(metrics, work, options.report)
