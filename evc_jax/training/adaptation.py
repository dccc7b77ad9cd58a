"""A bundle for one speaker, from minutes of that person's speech: voice, register, mean spectrum and decoder.

Each is measured before and after on held-out pieces of the recordings; only what became better is written.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evc_jax.config import to_mapping
from evc_jax.conversion.converter import Converter
from evc_jax.errors import TrainingError
from evc_jax.features.register import MeasuredVoice
from evc_jax.files import replace_dir
from evc_jax.pretrained import bundle as bundles
from evc_jax.pretrained.bundle import EMBEDDED, Bundle, TrainedNetwork, load_bundle
from evc_jax.pretrained.description import DESCRIPTION_FILE
from evc_jax.pretrained.workdir import Trained, load_for_inference
from evc_jax.training.config import DataConfig, OptimizerConfig, TrainConfig, parse
from evc_jax.training.held_out_figures import (
    Figure,
    better_parts,
    measure_voice,
    rebuilt_figures,
    voice_figures,
    with_voice,
)
from evc_jax.training.loop import train
from evc_jax.training.own_speech import DATASET, OwnSpeech, read_own_speech

REPORT_FILE = "adaptation.json"
MIN_TUNING_S = 30.0
SECONDS_PER_MINUTE = 60.0


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
      bundle: where the adaptation begins otherwise, what `load_bundle` takes; None is the one shipped with the package.
      progress: whether to draw bars.
      log: is called with a line for each recording that is passed over.

    Raises:
      EvcError: too little speech, or no bundle where one is expected.
    """
    start_s = time.monotonic()
    path = Path(output).absolute()
    bundles.check_replaceable(path)
    start = load_bundle(path if (path / DESCRIPTION_FILE).is_file() else bundle, progress)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=path.parent, ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        speech = read_own_speech(inputs, work, start.audio, progress, log)
        voice = measure_voice(speech.training, start.audio)
        figures = list(voice_figures(start, name, voice, speech))
        tuned = None
        if start.has("speechsplit"):
            end_s = start_s + minutes * SECONDS_PER_MINUTE
            tuned, decoder = _tune_decoder(start, voice, speech, work, end_s, progress)
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


def _with_decoder(bundle: Bundle, tuned: Trained) -> Bundle:
    network = bundle.network("speechsplit").network
    networks = {**bundle.networks, "speechsplit": TrainedNetwork(network, tuned.params["speechsplit"])}
    return bundles.from_description(bundle.description, bundle.path, networks)


def _tune_decoder(
    start: Bundle, voice: MeasuredVoice, speech: OwnSpeech, work: Path, end_s: float, progress: bool
) -> tuple[Trained | None, list[Figure]]:
    """The tuned decoder and its figures; none where too little time is left until `end_s` of the monotonic clock."""
    start_s = time.monotonic()
    before = rebuilt_figures(Converter(start), voice, speech)
    # As long as this took is kept back for the same afterwards.
    left_s = end_s - time.monotonic() - (time.monotonic() - start_s)
    if left_s < MIN_TUNING_S:
        return None, []
    tuned = _tune(start, speech, work, left_s, progress)
    after = rebuilt_figures(Converter(_with_decoder(start, tuned)), voice, speech)
    pairs = zip(before, after, strict=True)
    return tuned, [dataclasses.replace(each, after=other.before) for each, other in pairs]


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
        description = dict(with_voice(start, result.name, _kept(start, result, voice)).description)
    params = {network: start.network(network).params for network in description["networks"]}
    if tuned:
        params["speechsplit"] = tuned.params["speechsplit"]
        description |= _tuned_description(description, result.name, tuned)
    storage_dtype = description.get("storage_dtype", "float32")
    new = bundles.save_bundle(work / "bundle", description, params, storage_dtype, start.speakers)
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
    # Not the voice's name, which may be that of a dataset.
    data = f"recordings of {name}"
    owned = {"name": data, "corpus": "unknown", "licence": "as the speaker states", "networks": ["speechsplit"]}
    others = [entry for entry in description.get("data", ()) if entry != owned]
    return {"networks": {**description["networks"], "speechsplit": entry}, "data": [*others, owned]}
