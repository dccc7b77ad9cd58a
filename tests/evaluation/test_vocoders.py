"""The report on vocoders of bundles and of trainings; a perfect copy's row is exact."""

import numpy as np
import pytest
from support.tiny_bundles import CONFIGS, random_params, tiny_converter, tone

from evc_jax.audio.config import AudioConfig
from evc_jax.config import to_mapping
from evc_jax.errors import ConfigError
from evc_jax.evaluation import metrics, vocoders
from evc_jax.evaluation.vocoders import NO_PESQ, compare_vocoders, evaluate_vocoders
from evc_jax.pretrained.workdir import Trained

RECORDS = [{"audio": np.int16(20_000 * tone(0.6, seed=seed))} for seed in range(3)]


class Echo:
    """A vocoder that returns the recording."""

    def __init__(self, sound):
        self.sound = sound

    def __call__(self, mel, samples, seed):
        return self.sound

    def stream(self, mels, frames, samples, seed):
        yield self.sound


@pytest.fixture
def no_pesq(monkeypatch):
    monkeypatch.setattr(vocoders, "pesq_is_installed", lambda: False)


@pytest.fixture
def training(monkeypatch):
    """Changes what lies in every work directory: a converted WaveGlow by default."""

    def put(name="waveglow", audio=AudioConfig()):
        config = {"data": {"datasets": []}, "audio": to_mapping(audio)}
        run = Trained(name, config, {name: CONFIGS[name]}, random_params((name,), seed=1), 1234, {})
        monkeypatch.setattr(vocoders, "load_for_inference", lambda _: run)

    put()
    return put


def test_a_copy_that_is_the_recording_and_one_that_is_louder(no_pesq):
    recording = tone(0.5)
    vocoders = {"echo": Echo(recording), "louder": Echo(10 ** (3 / 20) * recording)}
    report = compare_vocoders(vocoders, AudioConfig(), [recording])
    assert [row[0] for row in report.rows] == ["echo", "louder"] and "of 1 recordings" in report.note
    assert report.rows[0][1] == 0 and report.rows[1][1] == pytest.approx(3, abs=0.2)
    assert "| echo    |       0.00 |    - |" in str(report) and str(report).endswith(NO_PESQ)


def test_trainings_are_measured_beside_the_bundle(training, no_pesq):
    report = evaluate_vocoders(tiny_converter().bundle, RECORDS, ["runs/light"], recordings=2)
    errors = {name: mel_l1_db for name, mel_l1_db, _ in report.rows}
    assert list(errors) == ["griffin-lim", "waveglow", "runs/light after 1,234 steps"]
    assert errors["griffin-lim"] < 3 < errors["waveglow"]  # whose parameters are random
    assert errors["waveglow"] != errors["runs/light after 1,234 steps"] and "of 2 recordings" in report.note


def test_trainings_that_are_none_of_the_bundle(training):
    training("voicegan")
    with pytest.raises(ConfigError, match="runs/other holds a training of voicegan; give one of waveglow"):
        evaluate_vocoders(tiny_converter().bundle, RECORDS, ["runs/other"])
    training(audio=AudioConfig(gain=0.5))
    with pytest.raises(ConfigError, match="runs/other was trained on spectrograms with other settings than the bundle"):
        evaluate_vocoders(tiny_converter().bundle, RECORDS, ["runs/other"])


def test_pesq_of_real_speech(data_dir):
    pytest.importorskip("pesq")
    speech = _speech(data_dir)
    noise = np.random.default_rng(0).standard_normal(len(speech)).astype(np.float32)
    assert metrics.pesq(speech, speech, 16_000) == pytest.approx(4.64, abs=0.01)
    assert metrics.pesq(speech, 0.5 * speech[:-1], 16_000) > 4.5
    marks = [metrics.pesq(speech, speech + level * noise, 16_000) for level in (0.0003, 0.003, 0.03)]
    assert marks == sorted(marks, reverse=True) and marks[0] < 4.6 and marks[-1] < 1.5
    assert metrics.pesq(speech, 0 * speech, 16_000) == metrics.WORST_PESQ


def test_griffin_lim_in_pesq(data_dir):
    pytest.importorskip("pesq")
    record = {"audio": np.int16(32_767 * _speech(data_dir))}
    report = evaluate_vocoders(tiny_converter().bundle, [record], recordings=1)
    griffin_lim, random = (pesq for _, _, pesq in report.rows)
    assert griffin_lim > 2 > random
    assert NO_PESQ not in str(report) and f" {griffin_lim:.2f} |" in str(report)


def _speech(data_dir):
    from evc_jax.audio import io as audio_io

    path = sorted((data_dir / "ljspeech" / "wavs").iterdir())[0]
    return audio_io.load(path, 16_000)[: 3 * 16_000]
