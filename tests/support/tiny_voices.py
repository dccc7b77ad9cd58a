"""A dataset of invented speakers, which is all that VoiceGAN reads, and trainings on it."""

import json

import numpy as np

from evc_jax.audio.config import AudioConfig
from evc_jax.config import to_mapping
from evc_jax.data.dataset import SPEAKERS_FILE, dataset_path
from evc_jax.pretrained.workdir import logged_metrics
from evc_jax.training.loop import train
from evc_jax.training.metrics_writer import TIMINGS
from support.tiny_systems import load_config

SPEAKERS = 24


def write_voices(data_dir):
    """Writes a dataset "voices" with speakers of both sexes in both splits; returns `data_dir`."""
    folder = dataset_path(data_dir, "voices")
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    embedding = np.abs(draw.normal(size=(SPEAKERS, 256))).astype(np.float32)
    np.savez(
        folder / SPEAKERS_FILE,
        name=np.array([f"speaker-{i}" for i in range(SPEAKERS)]),
        sex=np.array(["male", "female"] * (SPEAKERS // 2)),
        split=np.array(["train"] * (SPEAKERS - 8) + ["validation"] * 8),
        utterances=np.ones(SPEAKERS, np.int64),
        embedding=embedding / np.linalg.norm(embedding, axis=1, keepdims=True),
        log_f0_mean=np.full(SPEAKERS, 5.0),
        log_f0_std=np.full(SPEAKERS, 0.2),
    )
    metadata = {"counts": {"train": SPEAKERS - 8, "validation": 8}, "audio": to_mapping(AudioConfig())}
    (folder / "metadata.json").write_text(json.dumps(metadata))
    return data_dir


def voices_config(data_dir, **changes):
    """A short VoiceGAN training on them that logs every step."""
    often = {"log_every": 1, "validate_every": 5, "checkpoint_every": 5, "steps": 10}
    data = {"data_dir": str(data_dir), "datasets": ("voices",)}
    return load_config("voicegan", **{"data": data, **often, **changes})


def train_voices(data_dir, workdir, **changes):
    """Runs it; returns its last validation metrics."""
    return train(voices_config(data_dir, **changes), workdir).metrics


def records(workdir):
    """What a training logged, without measurements of the machine."""
    return [{key: value for key, value in line.items() if key not in TIMINGS} for line in logged_metrics(workdir)]
