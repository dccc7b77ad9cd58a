"""Controls: neutral positions change no bit, and each moves its own measure, also with the bundle that is shipped."""

import re

import numpy as np
import pytest
import soundfile
from support.tiny_bundles import tiny_converter, tone

from evc_jax.conversion import controls
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.options import OPTIONS, ConversionOptions, options_from
from evc_jax.errors import ConfigError
from evc_jax.evaluation.metrics import cosine, f0_summary
from evc_jax.features.f0_codes import LogF0Statistics, log_f0_statistics, normalize_f0
from evc_jax.pretrained.bundle import embedded_path

NEUTRAL = {
    "pitch_range": 1,
    "pitch_shift": 0.0,
    "rate": 1.0,
    "flatten_pitch": 0,
    "timbre": 1,
    "loudness": 0,
    "effort": 0.0,
}
OTHERS = ({}, {"emotion": "sad", "strength": 2.0}, {"voice": "sampled:male"}, {"pitch_shift": 3.0}, {"rate": 1.3})


@pytest.fixture(scope="module")
def converter():
    return tiny_converter()


@pytest.fixture(scope="module")
def features(converter):
    return converter.extract(tone(0.4), 16000)


def test_f0_moves_on_the_logarithmic_scale():
    f0_hz = np.array([0, 100, 200, 0], np.float32)
    statistics = LogF0Statistics(float(np.log(100)), 0.3)
    np.testing.assert_allclose(controls.change_pitch(f0_hz, statistics, 1, 12), [0, 200, 400, 0], rtol=1e-6)
    np.testing.assert_allclose(controls.change_pitch(f0_hz, statistics, 2, 0), [0, 100, 400, 0], rtol=1e-6)
    np.testing.assert_allclose(controls.change_pitch(f0_hz, statistics, 0, -12), [0, 50, 50, 0], rtol=1e-6)
    assert controls.change_pitch(f0_hz, statistics, 1.0, 0) is f0_hz


def test_voices_blend_along_the_great_circle():
    a, b = np.abs(np.random.default_rng(0).standard_normal((2, 256))).astype(np.float32)
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    angle = np.arccos(a @ b)
    for share in (0.25, 0.5, 0.9):
        voice = controls.blend_voices(a, b, share)
        assert np.linalg.norm(voice) == pytest.approx(1, abs=1e-6) and voice.min() >= 0
        assert np.arccos(a @ voice) == pytest.approx(share * angle, abs=1e-3)
    assert controls.blend_voices(a, b, 0) is a and controls.blend_voices(a, b, 1.0) is b
    np.testing.assert_allclose(controls.blend_voices(a, a.copy(), 0.5), a, atol=1e-6)


@pytest.mark.parametrize("others", OTHERS, ids=str)
def test_neutral_controls_change_no_bit(converter, features, others):
    """Each control in its neutral position, and all of them, whatever the others do."""
    expected = converter.convert_features(features, ConversionOptions(**others)).audio
    free = [name for name in NEUTRAL if name not in others]
    for names in [free, *([name] for name in free if not others)]:
        options = ConversionOptions(**others, **{name: NEUTRAL[name] for name in names})
        np.testing.assert_array_equal(converter.convert_features(features, options).audio, expected, str(names))


def test_no_timbre_is_the_source_whatever_the_voice(converter, features):
    plain = converter.convert_features(features, ConversionOptions()).audio
    kept = converter.convert_features(features, ConversionOptions(voice="sampled:female", timbre=0)).audio
    np.testing.assert_array_equal(kept, plain)


def test_controls_off_neutral_change_the_sound(converter, features):
    plain = converter.convert_features(features, ConversionOptions()).mel
    for change in (
        {"pitch_range": 0.5},
        {"pitch_shift": 1},
        {"flatten_pitch": 0.5},
        {"voice": "sampled:male", "timbre": 0.5},
    ):
        assert np.abs(converter.convert_features(features, ConversionOptions(**change)).mel - plain).max() > 1e-4, (
            change
        )


@pytest.mark.parametrize("seconds, rate", [(0.11, 2), (1.0, 0.77), (1.0, 1.2), (3.3, 0.5)])
def test_the_output_is_as_long_as_the_source_divided_by_the_rate(converter, seconds, rate):
    samples = tone(seconds)
    result = converter.convert(samples, 16000, rate=rate)
    assert len(result.audio) == round(len(samples) / rate)
    assert result.mel.shape == (len(result.audio) // 256 + 1, 80) == (len(result.f0_hz), 80)


def test_keyword_arguments_of_the_converter_are_the_options(converter):
    options = {
        "pitch_range": 0.5,
        "pitch_shift": 2,
        "rate": 1.5,
        "flatten_pitch": 0.2,
        "voice": "sampled:male",
        "timbre": 0.3,
    }
    samples = tone(0.5)
    expected = converter.convert_features(converter.extract(samples, 16000), ConversionOptions(**options)).audio
    np.testing.assert_array_equal(converter.convert(samples, 16000, **options).audio, expected)


def test_every_bound_contains_its_default():
    assert {"strength", "seed", "rate", "flatten_pitch"} <= {option.name for option in OPTIONS}
    for option in OPTIONS:
        if option.low is not None:
            assert option.low <= getattr(ConversionOptions(), option.name) <= option.high


@pytest.mark.parametrize(
    "given, sentence",
    [
        ({"strength": 4.0}, "The strength is 4; give a number from 0 to 3"),
        ({"seed": 2**32}, "The seed is 4294967296; give an integer from 0 to 4294967295"),
        ({"rate": float("nan")}, "The rate is nan; give a number"),
        ({"vocoder": "hifi"}, "There is no vocoder 'hifi'; choose one of griffin-lim, waveglow"),
        ({"flatten": 0.5, "flatten_pitch": 0.5}, "flatten_pitch is given twice"),
        ({"volume": 3}, "There is no option 'volume'; choose from"),
    ],
)
def test_options_that_are_refused(given, sentence):
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        options_from(given)


@pytest.mark.parametrize("name, value", [("seed", 0.5), ("seed", True), ("rate", "fast"), ("strength", None)])
def test_values_of_another_type_are_refused(name, value):
    (option,) = (option for option in OPTIONS if option.name == name)
    with pytest.raises(ConfigError, match=f"The {name} is .*; give an? (integer|number) from"):
        option.check(value)


def test_an_alias_is_its_option_and_a_transfer_has_fewer():
    assert options_from({"flatten": 0.5}).flatten_pitch == 0.5
    with pytest.raises(ConfigError, match="There is no option 'strength'"):
        options_from({"strength": 0.5}, synthesis_only=True)


def test_a_shift_stays_when_f0_is_normalized():
    """The pitch code carries semitones relative to the speaker's deviation, up to four of which it can tell."""
    f0_hz = np.array([100, 120, 150, 110, 130] * 3, np.float32)
    statistics = log_f0_statistics(f0_hz)
    shifted = normalize_f0(controls.change_pitch(f0_hz, statistics, 1, 4), statistics)
    rise = (shifted - normalize_f0(f0_hz, statistics)) * 8 * statistics.std
    np.testing.assert_allclose(rise, 4 * np.log(2) / 12, rtol=1e-4)


# Each control's own measure on speech that the shipped bundle makes.


@pytest.fixture(scope="module")
def shipped():
    return Converter.load()


@pytest.fixture(scope="module")
def source(shipped):
    return shipped.extract(*soundfile.read(embedded_path().parent / "demo.wav"))


@pytest.fixture(scope="module")
def converted(shipped, source):
    def converted(**options):
        return shipped.convert_features(source, ConversionOptions(**options))

    return converted


@pytest.fixture(scope="module")
def plain(converted):
    return f0_summary(converted().f0_hz)


def test_the_shipped_bundle_follows_the_pitch_shift(converted, plain):
    up, down = (f0_summary(converted(pitch_shift=shift).f0_hz).median_hz for shift in (4, -4))
    assert 2 < 12 * np.log2(up / plain.median_hz) < 6
    assert -6 < 12 * np.log2(down / plain.median_hz) < -1.5


def test_the_shipped_bundle_follows_the_pitch_range(converted, plain):
    flat, wide = (f0_summary(converted(pitch_range=factor).f0_hz).range_semitones for factor in (0, 2))
    assert flat < 0.6 * plain.range_semitones
    assert wide > flat


def test_the_shipped_bundle_flattens(converted, plain):
    assert f0_summary(converted(flatten_pitch=1).f0_hz).range_semitones < 0.7 * plain.range_semitones


def test_the_shipped_bundle_follows_the_rate(converted):
    """What is said comes earlier by the factor: the loudness contour, stretched back, is the plain one."""
    plain, fast = converted().mel.mean(1), converted(rate=1.25).mel.mean(1)
    stretched = np.interp(np.arange(len(plain)) / 1.25, np.arange(len(fast)), fast)
    assert np.corrcoef(plain, stretched)[0, 1] > 0.9
    assert np.corrcoef(plain[: len(fast)], fast)[0, 1] < 0.7


def test_the_shipped_bundle_follows_the_timbre(shipped, converted):
    # The recording's speaker is a woman, and among women the shipped bundle hardly tells voices apart.
    voice = shipped.voices.sample(1, "male", seed=1)[0]

    def likeness(timbre):
        audio = converted(voice=voice, timbre=timbre).audio
        return cosine(shipped.extract(audio, shipped.sample_rate_hz).embedding, voice)

    none, half, full = (likeness(timbre) for timbre in (0, 0.5, 1))
    assert none < half < full


def test_the_shipped_bundle_follows_the_strength(converted, plain):
    once, twice = (f0_summary(converted(emotion="angry", strength=strength).f0_hz).median_hz for strength in (1, 2))
    assert plain.median_hz < once < twice
