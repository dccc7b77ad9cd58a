"""From work directories to one bundle, whose default vocoder is the one that measures better."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.io import from_pcm
from evc_jax.config import from_mapping, to_mapping
from evc_jax.data.dataset import SpeakerTable, audio_config, dataset_info, open_speakers, open_split
from evc_jax.data.sampling import spread_evenly
from evc_jax.errors import AudioError, ConfigError, DataError
from evc_jax.evaluation.vocoders import copy_synthesis
from evc_jax.features.emotion_classifier import READ, EmotionClassifier, fit_emotion_classifier
from evc_jax.features.emotion_statistics import statistics
from evc_jax.features.register import Register, fit_register, mean_error_semitones
from evc_jax.models.speechsplit.config import ENCODERS
from evc_jax.pretrained import bundle as bundles
from evc_jax.pretrained.bundle import Bundle, TrainedNetwork
from evc_jax.pretrained.description import FORMAT, build_network
from evc_jax.pretrained.speakers import TrainingSpeakers
from evc_jax.pretrained.start import is_bundle, load_training, trained_network
from evc_jax.pretrained.workdir import Trained
from evc_jax.training.checkpoints import fingerprint
from evc_jax.training.start_log import trained_with

TEST_RECORDINGS = 32
MAX_TEST_SECONDS = 5.0
# With fewer the register of a voice cannot be told from its embedding.
MIN_REGISTER_SPEAKERS = 20
MAP_SPEAKERS = 400
READ_RECORDINGS = 500  # of a dataset without emotions
EMOTION_FIELDS = ("mel", "f0_hz", "utterance_embedding", "emotion", "speaker")


def export_bundle(
    workdirs: Mapping[str, str],
    output: str | os.PathLike,
    *,
    checkpoint: str = "last",
    data_dir: str = "datasets",
    datasets: Sequence[str] = (),
    licence: str | None = None,
    storage_dtype: str = "float32",
    rendering: str | None = None,
    base: str | os.PathLike | None = None,
) -> dict[str, Any]:
    """Writes a bundle from a checkpoint of each work directory.

    Args:
      workdirs: per network, one of `description.NETWORKS`, the directory of its training.
      output: the bundle's directory.
      checkpoint: which one; see `workdir.load_for_inference`.
      data_dir: where the prepared datasets lie, those of `datasets` and those that were trained on.
      datasets: the vocoders are compared on the test split of these; without any Griffin-Lim is the default.
      licence: of the bundle; None names those of the data.
      storage_dtype: see `bundle.save_bundle`.
      rendering: the bundle's default, one of `description.RENDERINGS`; None is that of the base, else "decoder".
      base: a bundle that gives what no work directory does.

    Returns:
      The description that was stored.

    Raises:
      EvcError: a work directory holds something else, or the trainings do not belong together.
    """
    trained = {name: load_training(workdir, name, checkpoint) for name, workdir in workdirs.items()}
    given = None if base is None else bundles.load_bundle(base)
    before = given.description if given else {}
    kept = [name for name in before.get("networks", {}) if name not in trained]
    params = {name: given.network(name).params for name in kept if given}
    params |= {name: run.params[name] for name, run in trained.items()}
    _check_origin(trained, params)
    data = _joined_data(_data(trained, data_dir), before.get("data", ()), kept)
    networks = {name: before["networks"][name] for name in kept} | {
        name: _entry(name, workdirs[name], run) for name, run in trained.items()
    }
    description = {
        **before,
        "format": FORMAT,
        "created": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "audio": to_mapping(_audio(trained, data_dir, given)),
        "emotions": _emotions(trained, before),
        "code": _options_of("codegan", trained).get("code", before.get("code", "pitch_rhythm")),
        "default_vocoder": before.get("default_vocoder", "griffin-lim"),
        "default_rendering": rendering or before.get("default_rendering", "decoder"),
        "networks": networks,
        "data": data,
        "licence": licence or " and ".join(sorted({entry["licence"] for entry in data})),
        "evaluation": dict(before.get("evaluation", {})),
    }
    loaded = _in_memory(description, params)
    _check_codes(loaded)
    table = _training_speakers(data, data_dir)
    if table is not None and (register := _fit_register(table, data, data_dir)) is not None:
        description["register"] = register[0].to_mapping()
        description["evaluation"]["register_error_semitones"] = register[1]
        fitted = _fit_emotion_classifier(data, data_dir, description["emotions"], loaded.audio, register[0])
        if fitted is not None:
            description["emotion_classifier"] = fitted[0].to_mapping()
            description["evaluation"]["emotion_recall"] = round(fitted[1], 2)
    if datasets:
        errors = copy_synthesis(loaded, _test_recordings(data_dir, datasets, loaded.audio))
        description["evaluation"]["copy_synthesis_mel_l1"] = errors
        description["default_vocoder"] = min(errors, key=lambda name: errors[name])
    speakers = _landmarks(table) if table is not None else given.speakers if given else None
    bundles.save_bundle(output, description, params, storage_dtype, speakers)
    return description


def _entry(name: str, workdir: str, run: Trained) -> dict[str, Any]:
    """What the description says of a network that was trained."""
    entry = {"config": run.networks[name], "steps": run.step, "validation": run.metrics}
    record = trained_with(workdir, run.step)
    return {**entry, "trained": record} if record else entry


def _options_of(name: str, trained: Mapping[str, Trained]) -> Mapping[str, Any]:
    return trained[name].config["options"] if name in trained else {}


def _emotions(trained: Mapping[str, Trained], before: Mapping[str, Any]) -> list[str]:
    """The emotions of the network that knows most; the others know the first of them.

    Raises:
      ConfigError: they do not.
    """
    known = {name: _options_of(name, trained).get("emotions") for name in ("codegan", "prosody")}
    kept = [
        before["networks"][name]["config"]
        for name in known
        if name in before.get("networks", {}) and name not in trained
    ]
    if kept:
        known["the base"] = before["emotions"][: max(config["emotions"] for config in kept)]
    lists = {name: list(emotions) for name, emotions in known.items() if emotions}
    (first, emotions), *others = sorted(lists.items(), key=lambda entry: -len(entry[1])) or [("", [])]
    for name, other in others:
        if other != emotions[: len(other)]:
            raise ConfigError(
                f"The emotions of {first} are {', '.join(emotions)} and those of {name} {', '.join(other)}; in one "
                "bundle one list must begin with the other."
            )
    return emotions


def _check_origin(trained: Mapping[str, Trained], params: Mapping[str, Any]) -> None:
    """Raises ConfigError where CodeGAN is known to be trained on the codes of other encoders."""
    options = _options_of("codegan", trained)
    origin, checkpoint = options.get("speechsplit"), options.get("speechsplit_checkpoint", "last")
    if not origin or not (is_bundle(origin) or Path(origin).is_dir()):
        return
    frozen = trained_network(origin, "speechsplit", checkpoint).params
    given = params.get("speechsplit", frozen)
    ours, theirs = ({part: each[part] for part in ENCODERS} for each in (given, frozen))
    if fingerprint(ours) != fingerprint(theirs):
        raise ConfigError(
            f"CodeGAN was trained on the codes of {origin}; give that bundle as --base, or that training as "
            "--speechsplit with the same --checkpoint, or one that went on from it with its decoder alone."
        )


def _data(trained: Mapping[str, Trained], data_dir: str) -> list[dict[str, Any]]:
    """The training data: name, corpus, licence and the networks that were trained on it."""
    used: dict[str, list[str]] = {}
    for name, run in trained.items():
        for dataset in run.config["data"]["datasets"]:
            used.setdefault(dataset, []).append(name)
    entries = []
    for dataset, networks in used.items():
        info = dataset_info(data_dir, dataset)
        entries.append(
            {"name": dataset, "corpus": info["corpus"], "licence": info["licence"], "networks": sorted(networks)}
        )
    for name, run in trained.items():
        if "converted_from" in run.config:
            file = run.config["converted_from"]["file"]
            entries.append({"name": file, "corpus": "unknown", "licence": f"that of {file}", "networks": [name]})
    return entries


def _joined_data(
    ours: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]], kept: Sequence[str]
) -> list[dict[str, Any]]:
    """The training data of the trainings, and of the networks that are kept of a base."""
    entries = {entry["name"]: dict(entry) for entry in ours}
    for entry in before:
        if networks := [name for name in entry["networks"] if name in kept]:
            joined = entries.setdefault(entry["name"], {**entry, "networks": []})
            joined["networks"] = sorted({*joined["networks"], *networks})
    return list(entries.values())


def _audio(trained: Mapping[str, Trained], data_dir: str, base: Bundle | None) -> AudioConfig:
    """The settings that all share: those of the trainings' data, of a base, and those of converted checkpoints."""
    names = sorted({name for run in trained.values() for name in run.config["data"]["datasets"]})
    configs = {"the datasets": audio_config(data_dir, names)} if names else {}
    if base is not None:
        configs["the base"] = base.audio
    for name, run in trained.items():
        if "audio" in run.config:
            configs[name] = from_mapping(AudioConfig, run.config["audio"], f"{name}: audio")
    (first, config), *others = configs.items()
    for name, other in others:
        keys = [key for key, value in to_mapping(config).items() if to_mapping(other)[key] != value]
        if keys:
            raise ConfigError(
                f"The spectrograms of {first} and {name} have different settings ({', '.join(keys)}); networks of one "
                "bundle must share them."
            )
    return config


def _dataset_names(data: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted(entry["name"] for entry in data if entry["corpus"] != "unknown")


def _training_speakers(data: Sequence[Mapping[str, Any]], data_dir: str) -> SpeakerTable | None:
    """The speakers of the training splits; None where the data, such as that of a base, is not at hand."""
    names = _dataset_names(data)
    try:
        return open_speakers(data_dir, names, "train") if names else None
    except DataError:
        return None


def _landmarks(table: SpeakerTable) -> TrainingSpeakers:
    """Those of a bundle's map, which are up to `MAP_SPEAKERS`."""
    chosen = spread_evenly(range(len(table.names)), MAP_SPEAKERS)
    names, sexes = (tuple(column[i] for i in chosen) for column in (table.names, table.sexes))
    return TrainingSpeakers(names, sexes, table.embeddings[chosen])


def _fit_register(
    speakers: SpeakerTable, data: Sequence[Mapping[str, Any]], data_dir: str
) -> tuple[Register, float | None] | None:
    """The register of voices, of the speakers that were trained on, and its error on those of the validation split.

    None where there are fewer than `MIN_REGISTER_SPEAKERS`.
    """
    if len(speakers.names) < MIN_REGISTER_SPEAKERS:
        return None
    register = fit_register(speakers.embeddings, speakers.log_f0_mean, speakers.log_f0_std)
    try:
        others = open_speakers(data_dir, _dataset_names(data), "validation")
    except DataError:  # small corpora have no speakers to spare
        return register, None
    return register, round(mean_error_semitones(register, others.embeddings, others.log_f0_mean), 2)


def _fit_emotion_classifier(
    data: Sequence[Mapping[str, Any]], data_dir: str, emotions: Sequence[str], config: AudioConfig, register: Register
) -> tuple[EmotionClassifier, float] | None:
    """The classifier of the bundle's emotions, of the speakers that were trained on, and its recall of each left out.

    None where the data has too few speakers or emotions, or cannot be read. Datasets without emotions are read speech.
    """
    values, labels, speakers = [], [], []
    for name in _dataset_names(data):
        named = set(dataset_info(data_dir, name).get("emotions", ())) & set(emotions)
        try:
            source = open_split(data_dir, name, "train", EMOTION_FIELDS, cache_bytes=0)
        except DataError:
            return None
        for i in range(len(source)) if named else spread_evenly(range(len(source)), READ_RECORDINGS):
            record = source[i]
            label = record["emotion"] if named else READ
            if label in (*emotions, READ):
                with contextlib.suppress(AudioError):  # hardly anything of it is voiced
                    mel, f0_hz, embedding = (record[field] for field in EMOTION_FIELDS[:3])
                    values.append(statistics(mel, f0_hz, embedding, register, config))
                    labels.append(label)
                    speakers.append(record["speaker"])
    return fit_emotion_classifier(np.stack(values), labels, speakers, emotions) if values else None


def _in_memory(description: Mapping[str, Any], params: Mapping[str, Any]) -> Bundle:
    networks = {}
    for name, tree in params.items():
        network = build_network(name, description["networks"][name]["config"])
        networks[name] = TrainedNetwork(network, jax.device_put(tree))
    return bundles.from_description(description, "(being made)", networks)


def _check_codes(bundle: Bundle) -> None:
    """Raises ConfigError unless CodeGAN's codes are as wide as this SpeechSplit's."""
    if not bundle.has("codegan"):
        return
    encoders = bundle.network("speechsplit").network.config
    channels = sum(getattr(encoders, part).code_channels for part in bundle.code.split("_"))
    expected = bundle.network("codegan").network.config.code_channels
    if channels != expected:
        raise ConfigError(
            f"CodeGAN converts {bundle.code} codes of {expected} channels, this SpeechSplit makes {channels}; "
            "give the training that CodeGAN's codes came from."
        )


def _test_recordings(data_dir: str, datasets: Sequence[str], config: AudioConfig) -> list[np.ndarray]:
    """Up to `TEST_RECORDINGS` recordings, spread evenly over the test split, at most `MAX_TEST_SECONDS` long."""
    if audio_config(data_dir, datasets) != config:
        raise DataError(f"{', '.join(datasets)} have other audio settings than the trainings; prepare them again.")
    source = open_split(data_dir, list(datasets), "test", fields=("audio",))
    if not len(source):
        raise DataError(f"The test split of {', '.join(datasets)} is empty; name other datasets.")
    limit = int(MAX_TEST_SECONDS * config.sample_rate_hz)
    chosen = spread_evenly(range(len(source)), TEST_RECORDINGS)
    return [from_pcm(source[i]["audio"][:limit]) for i in chosen]
