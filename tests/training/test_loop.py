"""Training on real recordings: every tiny config learns, resumes, and refuses what it cannot do."""

import json
import shutil

import numpy as np
import pytest
from support.markers import in_ci
from support.tiny_systems import load_config

from evc_jax.data.prepare.builder import prepare
from evc_jax.errors import CheckpointError, ConfigError, DataError
from evc_jax.pretrained.workdir import load_for_inference
from evc_jax.training.loop import train

pytestmark = pytest.mark.usefixtures("quick_programs")
BRIEFLY = {"steps": 100, "validate_every": 50}  # half of the tiny configs' steps


def _link(source, target, names):
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        (target / name).symlink_to(source / name)


@pytest.fixture(scope="module")
def datasets(data_dir, tmp_path_factory):
    """A small part of the real data: six RAVDESS actors, some LibriSpeech and LJSpeech."""
    root = tmp_path_factory.mktemp("corpora")
    for actor in range(1, 7):
        source = data_dir / "ravdess" / f"Actor_{actor:02d}"
        first = sorted(path.name for path in source.glob("*-01-0?.flac") if path.name[18:20] == f"{actor:02d}")
        _link(source, root / "ravdess" / source.name, [name for name in first if name[12:14] == "01"])
    for chapter in (data_dir / "librispeech" / "test-other").glob("*/*"):
        target = root / "librispeech" / "train-clean-100" / chapter.relative_to(chapter.parents[1])
        _link(chapter, target, [path.name for path in sorted(chapter.glob("*.flac"))[:4]])
    shutil.copy(data_dir / "librispeech" / "SPEAKERS.TXT", root / "librispeech")
    clips = [path.name for path in sorted((data_dir / "ljspeech" / "wavs").glob("*.flac"))[:24]]
    _link(data_dir / "ljspeech" / "wavs", root / "ljspeech" / "wavs", clips)
    _link(data_dir / "ljspeech", root / "ljspeech", ["metadata.csv"])
    for name in ("ravdess", "librispeech", "ljspeech"):
        prepare(name, root / name, root / "datasets", progress=False)
    return root / "datasets"


def _config(name, datasets, **changes):
    config = load_config(name)
    data = {"data_dir": str(datasets), "datasets": tuple(d for d in config.data.datasets if d != "emodb")}
    return load_config(name, data=data, **changes)


def _metrics(workdir, split="validation"):
    records = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [record for record in records if record["split"] == split]


@pytest.fixture(scope="module")
def speechsplit(datasets, tmp_path_factory):
    """A work directory with a trained tiny SpeechSplit."""
    workdir = tmp_path_factory.mktemp("speechsplit")
    train(_config("speechsplit", datasets, **BRIEFLY), workdir)
    return workdir


@pytest.mark.slow
def test_speechsplit_learns(speechsplit):
    first, *_, last = _metrics(speechsplit)
    assert last["loss"] < 0.25 * first["loss"]
    assert last["mel_l1"] < 0.5 * first["mel_l1"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, fall", [pytest.param("f0_converter", 0.8, marks=pytest.mark.release), ("waveglow", 0.0)]
)
def test_tiny_config_lowers_its_validation_loss(name, fall, datasets, tmp_path):
    train(_config(name, datasets, **BRIEFLY), tmp_path)
    first, *_, last = _metrics(tmp_path)
    # WaveGlow's loss is a log-likelihood and starts at about 0.
    assert last["loss"] < fall * first["loss"] - (1.0 if name == "waveglow" else 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", in_ci(["voicegan"], ["voicegan", "codegan"]))
def test_tiny_gan_learns(name, datasets, speechsplit, tmp_path):
    options = {"options": {"speechsplit": str(speechsplit)}} if name == "codegan" else {}
    train(_config(name, datasets, **options), tmp_path)
    first, *_, third_last, second_last, last = _metrics(tmp_path, "train")
    for metric in ("real_classification", "fake_classification"):
        assert np.mean([each[metric] for each in (third_last, second_last, last)]) < first[metric]
    start, *_, end = _metrics(tmp_path)
    assert abs(end["wasserstein"] - start["wasserstein"]) > 0.05


@pytest.mark.slow
def test_resumed_training_equals_uninterrupted(datasets, tmp_path):
    often = {"checkpoint_every": 5, "validate_every": 10, "log_every": 1}
    train(_config("speechsplit", datasets, steps=10, **often), tmp_path / "whole")
    train(_config("speechsplit", datasets, steps=5, **often), tmp_path / "parts")
    train(_config("speechsplit", datasets, steps=10, **often), tmp_path / "parts")
    whole, parts = ([r["loss"] for r in _metrics(tmp_path / name, "train")] for name in ("whole", "parts"))
    assert len(whole) == 10 and whole == parts
    trained = load_for_inference(tmp_path / "parts")
    assert trained.step == 10 and trained.system == "speechsplit" and trained.metrics["loss"] > 0
    with pytest.raises(CheckpointError, match=r"another config.model.decoder_width \(32 there, 16 now\)"):
        train(_config("speechsplit", datasets, steps=12, model={"decoder_width": 16}), tmp_path / "parts")


def test_an_empty_work_directory_has_nothing_for_inference(tmp_path):
    with pytest.raises(CheckpointError, match="holds no checkpoint; train into it first"):
        load_for_inference(tmp_path)


def test_codegan_needs_a_trained_speechsplit(tmp_path):
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        options = {"speechsplit": str(tmp_path / "none"), "emotions": ("neutral", "happy")}
        train(load_config("codegan", options=options), tmp_path / "run")


def test_missing_dataset_is_named(tmp_path):
    with pytest.raises(DataError, match="no dataset 'ravdess'"):
        train(load_config("speechsplit", data={"data_dir": str(tmp_path)}), tmp_path / "run")


@pytest.mark.parametrize(
    "name, changes, message",
    [
        ("speechsplit", {"system": "speach"}, "config.system is 'speach'; expected one of"),
        ("speechsplit", {"batch_size": 0}, "config.batch_size is 0; expected at least 1"),
        ("speechsplit", {"data": {"datasets": ()}}, "name at least one dataset"),
    ],
)
def test_impossible_settings_are_refused(name, changes, message):
    with pytest.raises(ConfigError, match=message):
        load_config(name, **changes)


def test_unknown_variant_is_refused():
    with pytest.raises(ConfigError, match="no variant 'huge'; it has: full, light, small, tiny"):
        load_config("waveglow", "huge")
