"""What a run leaves: the bundle in pieces, pictures of conversions, the time of one, a trace of training steps."""

from __future__ import annotations

import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accelerator.part import Part, main
from benchmarks.accelerator.training import TRACED_SYSTEM, chosen_datasets
from evc_jax.audio.io import from_pcm
from evc_jax.audio.plotting import Panel, draw_panels
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.options import ConversionOptions
from evc_jax.data.dataset import open_split
from evc_jax.data.sampling import spread_evenly
from evc_jax.features.extract import Features
from evc_jax.pretrained.description import NETWORKS
from evc_jax.pretrained.pieces import split_bundle
from evc_jax.pretrained.workdir import saved_steps
from evc_jax.training.export import export_bundle

PIECE_MEGABYTES = 15.0
UTTERANCES, TIMED_CALLS, CLIP_S = 2, 20, 3.0
TRACE = "trace"


def measure(part: Part) -> None:
    part.attempt("bundle", lambda: make_bundle(part))
    part.attempt("samples", lambda: draw_samples(part))
    part.attempt("conversion", lambda: time_conversion(part))
    part.attempt("trace", lambda: pack_trace(part))


def make_bundle(part: Part) -> dict[str, Any]:
    """A bundle of all trainings that left a checkpoint, in float16, in pieces."""
    workdirs = {name: str(part.work / name) for name in NETWORKS if saved_steps(part.work / name)}
    description = export_bundle(workdirs, part.work / "bundle", data_dir=str(part.datasets), storage_dtype="float16")
    pieces = split_bundle(part.work / "bundle", part.out, PIECE_MEGABYTES)
    return {
        "networks": sorted(description["networks"]),
        "pieces": {piece.name: piece.stat().st_size for piece in pieces},
    }


def draw_samples(part: Part) -> list[str]:
    """A picture for each of some validation utterances: as recorded, rebuilt, and in each emotion."""
    converter = Converter.load(part.work / "bundle")
    files = []
    for number, features in enumerate(utterances(part, converter)):
        panels = [Panel("recorded", features.mel, features.f0_hz)]
        for emotion in (None, *converter.emotions[: 2 if part.rehearsal else None]):
            options = ConversionOptions(emotion=emotion, vocoder="griffin-lim")
            mel = converter.convert_features(features, options).mel
            panels.append(Panel(emotion or "rebuilt", mel, np.zeros(len(mel), np.float32)))
        files.append(f"samples-{number + 1}.png")
        draw_panels(part.out / files[-1], panels, converter.bundle.audio)
    return files


def time_conversion(part: Part) -> dict[str, Any]:
    """The median time of a conversion of a recording of `CLIP_S`, features at hand, by vocoder."""
    converter = Converter.load(part.work / "bundle")
    features = next(iter(utterances(part, converter)))
    samples = round(CLIP_S * converter.sample_rate_hz)
    frames = samples // converter.bundle.audio.hop_samples + 1
    clip = Features(
        np.resize(features.audio, samples),
        np.resize(features.mel, (frames, features.mel.shape[1])),
        np.resize(features.f0_hz, frames),
        features.embedding,
        1.0,
    )
    emotion = converter.emotions[0] if converter.emotions else None
    found = {}
    for vocoder in ("waveglow", "griffin-lim") if converter.bundle.has("waveglow") else ("griffin-lim",):
        options, times_s = ConversionOptions(emotion=emotion, vocoder=vocoder), []
        converter.convert_features(clip, options)
        for _ in range(2 if part.rehearsal else TIMED_CALLS):
            begin = time.perf_counter()
            converter.convert_features(clip, options)
            times_s.append(time.perf_counter() - begin)
        found[f"{vocoder}_s"] = statistics.median(times_s)
    return found


def utterances(part: Part, converter: Converter) -> list[Features]:
    """The features of some validation utterances, from the dataset."""
    fields = ("audio", "mel", "f0_hz", "speaker_embedding")
    source = open_split(part.datasets, chosen_datasets(part.datasets, "codegan"), "validation", fields)
    records = [source[index] for index in spread_evenly(range(len(source)), UTTERANCES)]
    return [
        Features(from_pcm(record["audio"]), record["mel"], record["f0_hz"], record["speaker_embedding"], 1.0)
        for record in records
    ]


def pack_trace(part: Part) -> dict[str, Any]:
    """The profile of the traced training as one file; TensorBoard and XProf read its folder."""
    folder = part.work / TRACED_SYSTEM / "profile"
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not there")
    file = Path(shutil.make_archive(str(part.out / TRACE), "gztar", folder))
    return {"file": file.name, "bytes": file.stat().st_size}


if __name__ == "__main__":
    main(measure)
