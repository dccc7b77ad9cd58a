"""The conversion's promises: length, level, strength, reproducibility, any input; with a tiny random bundle."""

import numpy as np
import pytest
from support.tiny_bundles import EMOTIONS, tiny_converter, tone, write_bundle

import evc_jax
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.options import MAX_STRENGTH, ConversionOptions
from evc_jax.conversion.voices import write_voices
from evc_jax.errors import AudioError, BundleError, ConfigError


@pytest.fixture(scope="module")
def converter():
    return tiny_converter()


@pytest.fixture(scope="module")
def features(converter):
    return converter.extract(tone(1.5), 16000)


def convert(converter, features, **options):
    return converter.convert_features(features, ConversionOptions(**options))


def test_the_package_offers_the_converter(tiny_bundle):
    assert evc_jax.Converter.load(tiny_bundle).emotions == EMOTIONS


@pytest.mark.parametrize("seconds", [0.1, 0.4, 3.1, 8.0])
def test_output_is_as_long_as_the_source(converter, seconds):
    source = tone(seconds)
    result = converter.convert(source, 16000, emotion="happy")
    assert result.audio.shape == source.shape
    assert result.mel.shape == (len(source) // 256 + 1, 80) == (len(result.f0_hz), 80)
    assert np.isfinite(result.audio).all()
    assert result.mel.min() >= 0 and result.mel.max() <= 1


@pytest.mark.parametrize("rate_hz, channels", [(8000, 1), (44100, 2), (48000, 1)])
def test_any_rate_and_channel_count(converter, rate_hz, channels):
    source = np.stack([tone(0.7, rate_hz)] * channels, axis=-1).squeeze()
    result = converter.convert(source, rate_hz)
    assert result.sample_rate_hz == 16000
    assert abs(len(result.audio) / 16000 - len(source) / rate_hz) < 256 / 16000


def test_strength_zero_is_the_reconstruction_bit_for_bit(converter, features):
    plain = convert(converter, features)
    np.testing.assert_array_equal(convert(converter, features, emotion="sad", strength=0.0).audio, plain.audio)
    np.testing.assert_array_equal(convert(converter, features, emotion=None, strength=1.0).audio, plain.audio)


def test_emotions_differ_and_strength_interpolates(converter, features):
    plain = convert(converter, features).mel
    changes = [np.abs(convert(converter, features, emotion=e).mel - plain).mean() for e in EMOTIONS]
    assert min(changes) > 1e-4 and len(set(changes)) == len(EMOTIONS)
    mels = [convert(converter, features, emotion="sad", strength=strength).mel for strength in (1e-3, 1)]
    weak, strong = (np.abs(mel - plain).mean() for mel in mels)
    assert 0 < weak < strong / 10


def test_results_are_reproducible(converter, features):
    options = {"emotion": "happy", "voice": "sampled:male", "seed": 5}
    np.testing.assert_array_equal(
        convert(converter, features, **options).audio, convert(converter, features, **options).audio
    )


def test_level_follows_the_source(converter):
    loud, quiet = (converter.convert(tone(1, level=level), 16000).audio for level in (0.1, 0.001))
    np.testing.assert_allclose(np.std(loud) / np.std(quiet), 100, rtol=0.05)


@pytest.mark.parametrize("seconds", [0.5, 3.1, 21.0])
def test_cutting_and_joining_change_nothing(tiny_bundle, seconds):
    """With networks that return what they are given, the source's mel comes back at any length."""
    converter = Converter.load(tiny_bundle)
    converter.engine.convert = lambda inputs: inputs.mel
    features = converter.extract(tone(seconds), 16000)
    np.testing.assert_allclose(converter.convert_features(features, ConversionOptions()).mel, features.mel, atol=1e-6)


def test_waveglow(converter, features):
    result = convert(converter, features, vocoder="waveglow")
    assert result.audio.shape == features.audio.shape
    assert np.abs(result.audio - convert(converter, features).audio).max() > 0


def test_sampled_voices(converter):
    voices = converter.voices.sample(3, "female", seed=2)
    np.testing.assert_allclose(np.linalg.norm(voices, axis=1), 1, atol=1e-5)
    assert voices.min() >= 0
    np.testing.assert_allclose(converter.voices.sample(5, "female", seed=2)[:3], voices, atol=1e-6)
    assert np.abs(converter.voices.sample(3, "male", seed=2) - voices).max() > 1e-3
    assert np.abs(converter.voices.sample(3, "female", seed=3) - voices).max() > 1e-3


def test_another_seed_of_a_sampled_voice_compiles_nothing(converter, monkeypatch):
    network, traced = converter.bundle.network("voicegan").network, []
    apply = network.apply
    monkeypatch.setattr(network, "apply", lambda *inputs: traced.append(inputs) or apply(*inputs))
    for seed in (11, 12):
        converter.voices.sample(7, "male", seed)
    assert len(traced) == 1


def test_voices_from_arrays_and_files(converter, features, tmp_path):
    import soundfile

    embedding = converter.voices.sample(1, "male")[0]
    (file,) = write_voices(tmp_path, ["kim"], embedding[None])
    reference = tone(1.2, f0_hz=220)
    soundfile.write(tmp_path / "reference.wav", reference, 16000, subtype="FLOAT")
    by_array, by_file = (convert(converter, features, voice=voice) for voice in (embedding, str(file)))
    np.testing.assert_array_equal(by_array.audio, by_file.audio)
    by_sound, by_path = (convert(converter, features, voice=v) for v in (reference, tmp_path / "reference.wav"))
    np.testing.assert_allclose(by_sound.embedding, by_path.embedding, atol=1e-5)
    np.testing.assert_allclose(by_array.embedding, embedding, atol=1e-6)
    np.testing.assert_array_equal(convert(converter, features).embedding, features.embedding)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"strength": -0.1}, "The strength is -0.1; give a number from 0 to 3"),
        ({"strength": MAX_STRENGTH + 1}, "The strength is 4"),
        ({"strength": float("nan")}, "The strength is nan"),
        ({"sigma": -1.0}, "The sigma is -1"),
        ({"seed": -1}, "The seed is -1"),
        ({"vocoder": "wavenet"}, "no vocoder 'wavenet'; choose one of griffin-lim, waveglow"),
        ({"voice": "sampled:martian"}, "'martian'; give sampled:female or sampled:male"),
        ({"voice": "no/such.wav"}, "The voice 'no/such.wav' is no file"),
        ({"voice": []}, "An empty list of voices"),
        ({"emotion_from": (1, 2)}, "The emotion from is '.1, 2.'; give a file"),
        ({"voice": ["original", "sampled:male"]}, "'original' cannot be averaged with others"),
        ({"pitch_range": -0.5}, "The pitch range is -0.5; give a number from 0 to 3"),
        ({"pitch_shift": 12.5}, "The pitch shift is 12.5; give a number from -12 to 12"),
        ({"rate": 0.4}, "The rate is 0.4; give a number from 0.5 to 2"),
        ({"rate": float("inf")}, "The rate is inf"),
        ({"timbre": 1.1}, "The timbre is 1.1; give a number from 0 to 1"),
        ({"timbre": 0.5}, "The timbre 0.5 leads from the source's voice to another one"),
        ({"flatten_pitch": 2}, "The flatten pitch is 2; give a number from 0 to 1"),
        ({"denoise": -1}, "The denoise is -1; give a number from 0 to 1"),
    ],
)
def test_impossible_options(options, message):
    with pytest.raises(ConfigError, match=message):
        ConversionOptions(**options)


def test_several_voices_and_folders_are_averaged(converter, tmp_path):
    import soundfile

    (tmp_path / "folder" / "deep").mkdir(parents=True)
    for i, name in enumerate(("folder/a.wav", "folder/deep/b.wav")):
        soundfile.write(tmp_path / name, tone(1.2, f0_hz=120 + 80 * i, seed=i), 16000, subtype="FLOAT")
    resolve = converter.voices.resolve
    one, two = (resolve(tmp_path / name) for name in ("folder/a.wav", "folder/deep/b.wav"))
    mean = (one + two) / np.linalg.norm(one + two)
    np.testing.assert_allclose(resolve([one, two]), mean, atol=1e-6)
    np.testing.assert_allclose(resolve(tmp_path / "folder"), mean, atol=1e-6)
    np.testing.assert_array_equal(resolve([one]), resolve(one))
    assert np.linalg.norm(resolve(["sampled:male", one])) == pytest.approx(1, abs=1e-6)


def test_named_voices(converter, features, tmp_path, monkeypatch):
    monkeypatch.setenv("EVC_VOICES_DIR", str(tmp_path / "mine"))
    monkeypatch.chdir(tmp_path)
    voice = converter.voices.sample(1, "male", seed=4)[0]
    write_voices(tmp_path / "mine", ["anna"], voice[None])
    np.testing.assert_allclose(convert(converter, features, voice="anna").embedding, voice, atol=1e-6)
    with pytest.raises(ConfigError, match="'otto' is no file, folder or known name"):
        ConversionOptions(voice="otto").check(converter.bundle)


def test_unusable_voices(converter, features, tmp_path):
    import soundfile

    (tmp_path / "text.npy").write_text("not numbers")
    np.save(tmp_path / "short.npy", np.zeros(3, np.float32))
    np.save(tmp_path / "zero.npy", np.zeros(256, np.float32))
    (tmp_path / "text.wav").write_text("not sound")
    (tmp_path / "empty").mkdir()
    soundfile.write(tmp_path / "silent.wav", np.zeros(16000), 16000)
    for name, error, message in (
        ("text.npy", ConfigError, "cannot be read"),
        ("short.npy", ConfigError, "does not hold the 256 numbers"),
        ("zero.npy", ConfigError, "is zero or not finite"),
        ("text.wav", AudioError, "text.wav"),
        ("silent.wav", AudioError, "silent.wav: the recording is silent"),
        ("empty", ConfigError, "holds no recordings"),
    ):
        with pytest.raises(error, match=message):
            convert(converter, features, voice=str(tmp_path / name))


def test_unknown_emotion(converter, features):
    with pytest.raises(BundleError, match="no emotion 'bored'; choose one of neutral, happy, sad"):
        convert(converter, features, emotion="bored")


def test_a_bundle_without_gans(tmp_path):
    converter = Converter.load(write_bundle(tmp_path / "b", names=("speechsplit",)))
    source = tone(0.5)
    assert converter.emotions == ()
    with pytest.raises(BundleError, match="has no codegan network"):
        converter.convert(source, 16000, emotion="happy")
    with pytest.raises(BundleError, match="has no voicegan network"):
        converter.convert(source, 16000, voice="sampled:male")
    assert len(converter.convert(source, 16000).audio) == len(source)


@pytest.mark.parametrize("samples", [np.zeros(16000), np.full(16000, np.nan), np.zeros(0), np.zeros(100)])
def test_recordings_that_cannot_be_converted(converter, samples):
    with pytest.raises(AudioError):
        converter.convert(samples, 16000)
