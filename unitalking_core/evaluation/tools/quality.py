"""How good speech sounds, by DNSMOS (Reddy et al., ICASSP 2022) as packed in speechmos (MIT).

Reading: {"overall", "signal", "background", "p808"}, opinions from 1 to 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from . import Reader, Recording, installed, packages_missing


@dataclass(frozen=True)
class SpeechQuality:
    name = "speechmos"
    senses = ("waveform",)

    def missing(self) -> str | None:
        return packages_missing("speechmos", "librosa", "onnxruntime")

    def version(self) -> str:
        return f"{installed('speechmos')} DNSMOS"

    def open(self) -> Reader:
        import onnxruntime
        from speechmos import dnsmos

        def one_thread(model: str) -> Any:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            return onnxruntime.InferenceSession(model, options)

        # The package lets every process take all cores; several of them (`--workers`) then stand in each other's way.
        dnsmos.ort = SimpleNamespace(InferenceSession=one_thread)

        def read(recording: Recording) -> dict[str, float]:
            scores = dnsmos.run(np.clip(recording.waveform(), -1, 1), 16000)
            names = {"overall": "ovrl_mos", "signal": "sig_mos", "background": "bak_mos", "p808": "p808_mos"}
            return {name: round(float(scores[key]), 4) for name, key in names.items()}

        return read
