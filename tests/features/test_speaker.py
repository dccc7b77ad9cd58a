"""Speaker embeddings: against the golden ones, against the original package, and their robustness."""

import numpy as np
import pytest
from support import golden_features
from support.golden_features import voice

from evc_jax.audio import io as audio_io
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import condition
from evc_jax.errors import ConfigError
from evc_jax.features import EMBEDDING_DIM, speaker
from evc_jax.models import voice_encoder
from evc_jax.models.network import Network
from evc_jax.torch_import.torch_names import from_torch
from evc_jax.torch_import.torch_speechsplit import voice_encoder_config, voice_encoder_weights

NOISE = np.random.default_rng(0).normal(0, 0.05, 40000).astype(np.float32)


def conditioned(samples):
    return condition(samples, AudioConfig()).astype(np.float32)


def test_agrees_with_golden(golden_dir, data_dir):
    for golden in golden_features.read(golden_dir, data_dir):
        assert speaker.embed(conditioned(golden.samples)) @ golden.embedding >= 0.999, golden.name


def test_agrees_with_the_original_package(golden_dir, data_dir):
    pytest.importorskip("resemblyzer", reason="needs the extra resemblyzer")
    original = speaker.get_embedder("resemblyzer")
    for golden in golden_features.read(golden_dir, data_dir):
        np.testing.assert_allclose(speaker.embed(golden.samples), original(golden.samples), atol=1e-4)
    assert original(np.zeros(8000, np.float32)).shape == (256,)


def test_agrees_with_pytorch():
    torch = pytest.importorskip("torch", reason="needs the extra dev")
    mel = np.random.default_rng(1).uniform(0, 0.1, (3, 20, 40)).astype(np.float32)
    torch.manual_seed(0)
    lstm, linear = torch.nn.LSTM(40, 24, 3, batch_first=True), torch.nn.Linear(24, 16)
    modules = {"lstm": lstm, "linear": linear}
    state = {f"{name}.{key}": value.numpy() for name, m in modules.items() for key, value in m.state_dict().items()}
    network = Network(voice_encoder.VoiceEncoder, voice_encoder.VoiceEncoderConfig(hidden=24, embedding_dim=16))
    with torch.no_grad():
        raw = torch.relu(linear(lstm(torch.from_numpy(mel))[1][0][-1]))
        expected = (raw / raw.norm(dim=1, keepdim=True)).numpy()
    params = from_torch(state, voice_encoder_weights(voice_encoder_config(state)))
    np.testing.assert_allclose(network.apply(params, mel), expected, atol=1e-5)


def test_shipped_weights_fit_the_network():
    network = Network(voice_encoder.VoiceEncoder, voice_encoder.VoiceEncoderConfig())
    params = voice_encoder.load_params(speaker.WEIGHTS)
    shapes = network.shapes()
    for group, layers in shapes["lstm"].items():
        assert {name: value.shape for name, value in params["lstm"][group].items()} == {
            name: value.shape for name, value in layers.items()
        }
    assert set(params) == {"lstm", "linear"} and network.count() == 1423616
    assert speaker.WEIGHTS.stat().st_size <= 6e6


def test_params_survive_a_file(tmp_path):
    params = {"a": {"0": {"b": np.float32([1, 2])}}, "c": np.float32([[3]])}
    voice_encoder.save_params(tmp_path / "p.npz", params)
    loaded = voice_encoder.load_params(tmp_path / "p.npz")
    assert loaded["a"]["0"]["b"].tolist() == [1, 2] and loaded["c"].tolist() == [[3]]


@pytest.mark.parametrize("samples", [1600, 8000, 40000, 16000 * 14])
def test_any_length_gives_a_unit_vector(samples):
    embedding = speaker.embed(np.tile(voice(140, 0.5), 28)[:samples])
    assert embedding.shape == (EMBEDDING_DIM,) and embedding.dtype == np.float32
    assert embedding.min() >= 0 and np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("audio", [np.zeros(16000, np.float32), NOISE[:480], NOISE[:100]])
def test_recordings_without_speech_are_kept_whole(audio):
    assert len(speaker.preprocess(audio)) == len(audio)
    assert np.isfinite(speaker.embed(audio)).all()


def test_quiet_recordings_are_raised_and_loud_ones_left():
    assert np.sqrt(np.mean(speaker.preprocess(NOISE / 100) ** 2)) == pytest.approx(10**-1.5, rel=0.2)
    loud = NOISE * 4
    assert set(speaker.preprocess(loud)) <= set(loud)


def test_long_pauses_are_trimmed(data_dir):
    speech = audio_io.load(data_dir / "emodb" / "wav" / "03a01Fa.flac", 16000)
    pause = np.zeros(48000, np.float32)
    trimmed = speaker.trim_silences(np.concatenate([pause, speech, pause]))
    assert len(trimmed) < len(speech) + 16000


@pytest.mark.parametrize("samples", [1, 1600, 25440, 25600, 37759, 37760, 37921, 64000, 160000])
def test_partials_cover_the_recording(samples):
    starts = speaker.partial_starts(samples)
    assert starts[0] == 0 and set(np.diff(starts)) <= {77}
    ends = (starts + speaker.PARTIAL_FRAMES) * speaker.MEL_HOP_SAMPLES
    assert samples - ends[-1] < 77 * speaker.MEL_HOP_SAMPLES
    assert len(starts) == 1 or ends[-1] - samples <= 0.25 * 160 * speaker.MEL_HOP_SAMPLES


def test_a_partial_does_not_depend_on_its_batch():
    partials = np.random.default_rng(0).uniform(0, 0.05, (8, 160, 40)).astype(np.float32)
    together = speaker.encode(partials)
    alone = np.concatenate([speaker.encode(partial[None]) for partial in partials])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_an_embedding_does_not_depend_on_the_recordings_beside_it():
    mels = [
        np.random.default_rng(partials).uniform(0, 0.05, (partials, 160, 40)).astype(np.float32)
        for partials in (1, 9, 30, 2)
    ]
    together = speaker.embed_group(mels)
    for mel, embedding in zip(mels, together, strict=True):
        np.testing.assert_array_equal(speaker.embed_group([mel])[0], embedding)
    np.testing.assert_array_equal(np.stack(speaker.embed_group(mels[::-1])), np.stack(together[::-1]))


def test_embeddings_of_a_group_are_those_of_its_recordings(golden_dir, data_dir):
    recordings = [conditioned(golden.samples) for golden in golden_features.read(golden_dir, data_dir)]
    group = speaker.embed_group([speaker.partial_mels(samples) for samples in recordings])
    np.testing.assert_allclose(group, [speaker.embed(samples) for samples in recordings], atol=1e-5)


def test_a_speaker_is_the_normalized_mean():
    first, second = np.eye(256, dtype=np.float32)[:2]
    np.testing.assert_allclose(speaker.embed_speaker([first, second])[:3], [0.5**0.5, 0.5**0.5, 0], atol=1e-6)


def test_embedders_by_name(monkeypatch):
    assert speaker.get_embedder("jax") is speaker.embed
    with pytest.raises(ConfigError, match="no embedder 'torch'; choose jax or resemblyzer"):
        speaker.get_embedder("torch")
    monkeypatch.setitem(__import__("sys").modules, "resemblyzer", None)
    speaker._original_embedder.cache_clear()
    with pytest.raises(ConfigError, match=r"pip install 'evc_jax\[resemblyzer\]'"):
        speaker.get_embedder("resemblyzer")
