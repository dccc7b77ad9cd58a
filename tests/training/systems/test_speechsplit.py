"""SpeechSplit's training beyond the reference's: speaker consistency, parts that are not trained, changed crops."""

import jax
import numpy as np
import pytest
from support.tiny_systems import make_system, quick_compilation, run_steps
from support.vowels import sung_vowel

from benchmarks.fake_data import synthetic_batch
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.io import from_pcm, to_pcm
from evc_jax.audio.mel import log_mel
from evc_jax.data.dataset import SpeakerTable
from evc_jax.data.pipeline import CropConfig, crop_utterance
from evc_jax.errors import ConfigError
from evc_jax.features import speaker
from evc_jax.features.timbre_critic import MIN_POWER, encoder_frames
from evc_jax.models.network import Network
from evc_jax.models.voice_encoder import VoiceEncoder, VoiceEncoderConfig
from evc_jax.training import parallel
from evc_jax.training.systems import speechsplit
from evc_jax.training.systems.speechsplit import crop_with_target

CONSISTENT = {"options": {"speaker_consistency_weight": 1.0, "min_crop_frames": 64}}
RATE_HZ = AudioConfig().sample_rate_hz


def _system(**changes):
    return make_system("speechsplit", **{**CONSISTENT, **changes})


def _frames_apart(a, b):
    return max(float(np.abs(x - y).max()) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


@pytest.fixture(autouse=True)
def _small_critic(monkeypatch):
    """A voice encoder with random weights that compiles in a second."""
    config = VoiceEncoderConfig(hidden=16, layers=1)
    critic = Network(VoiceEncoder, config)
    monkeypatch.setattr(speechsplit, "load_critic", lambda dtype: (critic, critic.init(jax.random.key(1))))
    with quick_compilation():
        yield


def test_speaker_consistency_trains_alike_on_several_devices_and_in_micro_batches():
    one, two = (parallel.device_mesh(jax.devices()[:count]) for count in (1, 2))
    params, metrics = run_steps(_system(), one, 2)
    for system, mesh in ((_system(), two), (_system(accumulate=2, batch_size=4), one)):
        others, other_metrics = run_steps(system, mesh, 2)
        assert _frames_apart(params, others) < 1e-6
        np.testing.assert_allclose(other_metrics[-1]["to_target"], metrics[-1]["to_target"], rtol=1e-5)
    assert set(metrics[0]) >= {"loss", "reconstruction", "to_target", "to_source", "nearer"}


def test_the_decoder_alone_learns_to_be_the_target_and_codes_stay_as_they_are():
    options = {**CONSISTENT["options"], "trained_parts": ("decoder",)}
    system = _system(options=options, optimizer={"learning_rate": 1e-2}, ema_decay=0.9)
    mesh = parallel.device_mesh(jax.devices()[:1])
    step = parallel.map_step(system.step, mesh)
    state = parallel.init_replicated(system.init, jax.random.key(0), mesh)
    before, critic = jax.device_get(state.params), jax.tree.map(np.array, system._critic_params)
    batch, key, found = synthetic_batch(system, 8), parallel.replicate(jax.random.key(7), mesh), []
    batch["target"] = np.repeat(batch["target"][:1], 8, axis=0)
    batch["log_power"] += 3  # random weights respond to nothing softer
    for _ in range(12):
        state, metrics = step(state, parallel.shard_batch(batch, mesh), key)
        found.append(float(metrics["to_target"]))
    assert np.mean(found[-2:]) > np.mean(found[:2]) + 0.005
    after = jax.device_get(state)
    for trained in (after.params, after.ema):
        for part in ("content", "rhythm", "pitch"):
            assert jax.tree.all(jax.tree.map(np.array_equal, before[part], trained[part]))
    assert jax.tree.all(jax.tree.map(np.array_equal, critic, system._critic_params))


def _record():
    audio = to_pcm(np.concatenate([sung_vowel(f0_hz)[:RATE_HZ] for f0_hz in (120.0, 150.0)]))
    mel = log_mel(from_pcm(audio), AudioConfig())
    f0_hz = np.where(np.arange(len(mel)) % 7, 120.0, 0.0).astype(np.float32)
    own = np.eye(256, dtype=np.float32)[0]
    return {
        "audio": audio,
        "mel": mel,
        "f0_hz": f0_hz,
        "speaker": "a",
        "speaker_embedding": own,
        "log_f0_mean": np.log(120.0),
        "log_f0_std": 0.2,
    }


def _speakers():
    names = ("a", "b", "c")
    zeros = np.zeros(3)
    return SpeakerTable(names, ("male",) * 3, zeros.astype(int), np.eye(256)[:3], zeros, zeros)


def test_a_crop_has_another_speakers_voice_and_the_encoders_spectrogram_of_its_own_place():
    config, record, targets = CropConfig(96, 40, 80), _record(), set()
    whole = np.log10(np.maximum(speaker.power_mel(from_pcm(record["audio"])), MIN_POWER))
    for seed in range(12):
        sample = crop_with_target(record, np.random.default_rng(seed), config, _speakers())
        plain = crop_utterance(record, np.random.default_rng(seed), config)
        assert all(np.array_equal(plain[name], sample[name]) for name in plain)
        length = int(sample["length"])
        start = next(i for i in range(len(record["mel"])) if np.array_equal(record["mel"][i], sample["mel"][0]))
        count = encoder_frames(length)
        assert sample["log_power"].shape == (encoder_frames(80), 40) and (sample["log_power"][count:] == -10).all()
        if start % 5 == 0:  # both clocks have a frame there
            expected = whole[start * 8 // 5 :][2 : count - 2]
            np.testing.assert_allclose(sample["log_power"][2 : count - 2], expected, atol=1e-3)
        targets.add(int(np.argmax(sample["target"])))
    assert targets == {1, 2}


def test_crops_are_stretched_and_made_louder_as_asked():
    record = _record()
    lengths, gains = set(), []
    for seed in range(20):
        draws = (np.random.default_rng(seed) for _ in range(2))
        plain = crop_utterance(record, next(draws), CropConfig(96, 40, 60))
        changed = crop_utterance(record, next(draws), CropConfig(96, 40, 60, max_stretch=0.2, max_gain=0.05))
        length = int(changed["length"])
        lengths.add(length / int(plain["length"]))
        gains.append(float(changed["mel"][0, 0] - plain["mel"][0, 0]))
        assert not changed["mel"][length:].any() and length <= 60
        np.testing.assert_allclose(changed["mel"][length - 1] - gains[-1], plain["mel"][plain["length"] - 1], atol=1e-5)
        voiced = changed["f0"][:length]
        assert set(np.unique(voiced)) <= set(np.unique(plain["f0"]))  # classes in between would be no F0 that was there
    assert 0.8 < min(lengths) < 0.95 and 1.03 < max(lengths) <= 1.21
    assert max(np.abs(gains)) <= 0.05 and np.ptp(gains) > 0.03


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speaker_consistency_weight": -1.0}, "speaker_consistency_weight is -1.0; expected 0 or more"),
        ({"trained_parts": ("decoder", "voice")}, "trained_parts names voice; expected some of content, rhythm, pitch"),
        ({"max_stretch": -0.1}, "max_stretch is -0.1; expected 0 or more"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ConfigError, match=message):
        make_system("speechsplit", options=options)
