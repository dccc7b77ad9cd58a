"""Copy synthesis: recordings from their own mel-spectrograms by each vocoder, beside WORLD."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from evc_jax.audio.io import from_pcm
from evc_jax.data.sampling import spread_evenly
from evc_jax.evaluation import judges
from evc_jax.evaluation.bootstrap import estimate
from evc_jax.evaluation.context import Context
from evc_jax.evaluation.metrics import Record, mel_l1
from evc_jax.evaluation.report import Players, Section, Table
from evc_jax.evaluation.rules import world_copy
from evc_jax.evaluation.vocoders import bundle_vocoders, load_training
from evc_jax.features.f0_codes import MIN_VOICED_FRAMES
from evc_jax.features.pitch import estimate_f0
from evc_jax.vocoders import Vocoder

RECORDINGS, QUICK_RECORDINGS = 16, 4
PLAYED = 2
WORLD, ITSELF = "WORLD", "the recording itself"
COLUMNS = (
    ("mel_db", "mel, dB", ".2f"),
    ("f0_semitones", "F0, semitones", ".2f"),
    ("voicing", "voicing wrong", ".2f"),
    ("visqol", "ViSQOL", ".2f"),
    ("dnsmos", "DNSMOS", ".2f"),
)


def vocoders_section(context: Context) -> Section:
    """Copies of recordings of the judged speakers, in all their emotions."""
    bundle, settings = context.converter.bundle, context.settings
    vocoders: Mapping[str, Vocoder] = bundle_vocoders(bundle) | dict(
        load_training(workdir, bundle.audio) for workdir in settings.waveglow
    )
    records = spread_evenly(context.speech.judged, QUICK_RECORDINGS if settings.quick else RECORDINGS)
    rows: dict[str, list[dict[str, float]]] = {}
    players = [Players(r["speaker"], [_kept(context, ITSELF, r, from_pcm(r["audio"]))]) for r in records[:PLAYED]]
    for name in (ITSELF, WORLD, *vocoders):
        rows[name] = []
        for number, record in enumerate(context.bar(records, name)):

            def measure(name: str = name, record: Record = record, number: int = number) -> dict[str, float]:
                recording = from_pcm(record["audio"])
                copy = recording if name == ITSELF else _copy(context, name, record, vocoders)
                if number < PLAYED:
                    _kept(context, name, record, copy)
                return compare(recording, copy, context)

            rows[name].append(context.store.get(f"copy|{name}|{record['dataset']}|{record['utterance_id']}", measure))
            file = _file(context, name, record)
            if number < PLAYED and name != ITSELF and context.was_kept(file):
                players[number] = Players(players[number].title, [*players[number].files, (name, file)])
    speakers = [record["speaker"] for record in records]
    shown = [c for c in COLUMNS if any(np.isfinite(row[c[0]]) for row in rows[ITSELF])]
    lines = [(name, [estimate([row[c[0]] for row in each], speakers) for c in shown]) for name, each in rows.items()]
    note = (
        f"Means of {len(records)} recordings. Mel: mean absolute difference. F0: over frames that are voiced in both. "
        "ViSQOL predicts listeners' ratings beside the recording, DNSMOS without it."
    )
    header = ("", *(heading for _, heading, _ in shown))
    table = Table("Copy synthesis", header, [spec for _, _, spec in shown], lines, note)
    return Section("vocoders", "Vocoders", tables=[table], players=players)


def _copy(context: Context, name: str, record: Record, vocoders: Mapping[str, Vocoder]) -> Float[np.ndarray, " S"]:
    if name == WORLD:
        return world_copy(record, context.config)
    return vocoders[name](record["mel"], len(record["audio"]), context.settings.options.get("seed", 0))


def compare(recording: Float[np.ndarray, " Sa"], copy: Float[np.ndarray, " Sb"], context: Context) -> dict[str, float]:
    """Distances of a copy from its recording, and ratings of its sound."""
    config = context.config
    one, two = (estimate_f0(x, config) for x in (recording, copy))
    frames = min(len(one), len(two))
    one, two = one[:frames], two[:frames]
    both = (one > 0) & (two > 0)
    semitones = (
        float(12 * np.abs(np.log2(one[both] / two[both])).mean()) if both.sum() >= MIN_VOICED_FRAMES else float("nan")
    )
    return {
        "mel_db": config.range_db * mel_l1(recording, copy, config),
        "f0_semitones": semitones,
        "voicing": float(((one > 0) != (two > 0)).mean()),
        "visqol": judges.visqol(recording, copy),
        "dnsmos": judges.dnsmos(copy),
    }


def _file(context: Context, name: str, record: Record) -> str:
    return context.sound_file(f"copy {name}", record, record["emotion"])


def _kept(context: Context, name: str, record: Record, audio: Float[np.ndarray, " S"]) -> tuple[str, str]:
    file = _file(context, name, record)
    if not context.was_kept(file):
        context.save_sound(file, audio)
    return name, file
