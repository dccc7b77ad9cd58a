"""Reading prepared datasets: random access to records, speakers and metadata, from one dataset or several."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import operator
import os
from collections.abc import Iterator, Sequence
from typing import Any, SupportsIndex

import numpy as np
from etils import epath
from jaxtyping import Float, Int

from evc_jax.audio.config import AudioConfig
from evc_jax.config import from_mapping
from evc_jax.data.encoding import decode_audio, decode_mel
from evc_jax.data.requirements import require_splits
from evc_jax.errors import DataError, one_line
from evc_jax.files import printable

SPEAKERS_FILE = "speakers.npz"
BUILDER_NAME, VERSION = "speech", "1.0.0"
DEFAULT_CACHE_BYTES = 2 << 30
_DECODERS = {"mel": decode_mel, "audio": decode_audio}


def dataset_path(data_dir: epath.PathLike, dataset: str) -> epath.Path:
    """The folder of a dataset's shards (there may be none yet)."""
    return epath.Path(data_dir) / BUILDER_NAME / dataset / VERSION


def open_split(
    data_dir: epath.PathLike,
    datasets: str | Sequence[str],
    split: str,
    fields: Sequence[str] | None = None,
    cache_bytes: int = DEFAULT_CACHE_BYTES,
) -> SplitSource:
    """Opens one split of one or more datasets for random access.

    Args:
      data_dir: where `prepare` collected its datasets.
      datasets: names, or one string of names joined by commas.
      split: "train", "validation" or "test".
      fields: the record fields wanted; others are not decoded. All of them if None.
      cache_bytes: decoded records are kept in memory up to this size; 0 keeps none.

    Raises:
      DataError: a dataset, its split or a field does not exist.
    """
    wanted = tuple(fields or ())
    parts = [_open_part(str(data_dir), name, split, wanted) for name in dataset_names(datasets)]
    return SplitSource(parts, wanted, cache_bytes)


class SplitSource(Sequence[dict[str, Any]]):
    """Random access to the records of one split; a grain data source.

    A record is a dict: `mel [T, F]`, `f0_hz [T]` (0 = unvoiced), `speaker_embedding [256]`, `utterance_embedding
    [256]` float32; `audio [S]` int16 (full scale `audio.io.PCM_SCALE`); `log_f0_mean`, `log_f0_std`,
    `level_gain` (see `features.extract.Features`; datasets of version 0.1 lack it) float; and the strings `speaker sex
    emotion corpus_emotion text_id text utterance_id`, whatever the dataset's storage.
    Arrays are shared: do not write.
    """

    def __init__(self, parts: Sequence[Any], fields: tuple[str, ...], cache_bytes: int):
        self._parts, self._starts = parts, np.cumsum([0] + [len(part) for part in parts])
        self._fields, self._cache_bytes, self._cached_bytes = fields, cache_bytes, 0
        self._cache: dict[int, dict[str, Any]] = {}

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: SupportsIndex) -> dict[str, Any]:  # type: ignore[override]  # it takes no slices
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        index %= len(self)
        record = self._cache.get(index)
        if record is None:
            record = self._read(index)
            if self._cached_bytes < self._cache_bytes:
                self._cached_bytes += sum(v.nbytes for v in record.values() if isinstance(v, np.ndarray))
                self._cache[index] = record
        return dict(record)

    def _read(self, index: int) -> dict[str, Any]:
        part = int(np.searchsorted(self._starts, index, side="right")) - 1
        record = self._parts[part][index - int(self._starts[part])]
        return {
            name: _decoded(name, value) for name, value in record.items() if not self._fields or name in self._fields
        }


def _decoded(name: str, value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return _DECODERS[name](value) if name in _DECODERS else value


def _open_part(data_dir: str, dataset: str, split: str, fields: tuple[str, ...]):
    import tensorflow_datasets as tfds

    metadata = dataset_info(data_dir, dataset)
    require_splits(metadata["counts"], dataset, [split])
    with _read_errors(data_dir, dataset):
        builder = tfds.builder_from_directory(_utf8_path(os.fspath(dataset_path(data_dir, dataset))))
        known = set(builder.info.features)
        if unknown := sorted(set(fields) - known):
            raise DataError(f"Dataset {dataset} has no field {', '.join(unknown)}; it has {', '.join(sorted(known))}.")
        unwanted = {name: tfds.decode.SkipDecoding() for name in known - set(fields)} if fields else None
        return builder.as_data_source(split, decoders=unwanted)


def _utf8_path(folder: str) -> str:
    """The folder's path, or Linux's other name for it: TFDS and ArrayRecord open no path that is not UTF-8."""
    return folder if printable(folder) == folder else f"/proc/self/fd/{os.open(folder, os.O_RDONLY)}"


@contextlib.contextmanager
def _read_errors(data_dir: epath.PathLike, dataset: str) -> Iterator[None]:
    """Names the dataset that the system does not let us read, or that is damaged."""
    try:
        yield
    except DataError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        reason = "no permission" if isinstance(error, PermissionError) else one_line(error)
        raise DataError(
            f"Dataset {dataset} in {printable(data_dir)} cannot be read ({reason}); make it readable, or prepare it "
            "again."
        ) from error


def utterance_ids(
    data_dir: epath.PathLike, datasets: str | Sequence[str], split: str, records: Int[np.ndarray, " N"]
) -> list[str]:
    """The ids of the utterances with these numbers in `open_split`."""
    source = open_split(data_dir, datasets, split, ("utterance_id",))
    return [source[int(record)]["utterance_id"] for record in records]


@dataclasses.dataclass(frozen=True)
class SpeakerTable:
    """The N speakers of a split, by dataset and name; embeddings have unit length, F0 statistics are of ln Hz."""

    names: tuple[str, ...]
    sexes: tuple[str, ...]
    utterances: Int[np.ndarray, " N"]
    embeddings: Float[np.ndarray, "N 256"]
    log_f0_mean: Float[np.ndarray, " N"]
    log_f0_std: Float[np.ndarray, " N"]


def open_speakers(data_dir: epath.PathLike, datasets: str | Sequence[str], split: str) -> SpeakerTable:
    """Reads the speakers of a split of one or more datasets without touching a record.

    Raises:
      DataError: a dataset does not exist, or none has speakers in that split.
    """
    names = dataset_names(datasets)
    tables = []
    for name in names:
        dataset_info(data_dir, name)
        path = dataset_path(data_dir, name) / SPEAKERS_FILE
        with _read_errors(data_dir, name), path.open("rb") as file, np.load(file) as table:
            rows = table["split"] == split
            tables.append({key: table[key][rows] for key in table.files})
    columns = {key: np.concatenate([table[key] for table in tables]) for key in tables[0]}
    if not len(columns["name"]):
        raise DataError(f"No speaker of {', '.join(names)} is in the {split} split; choose another split or dataset.")
    return SpeakerTable(
        names=tuple(columns["name"].tolist()),
        sexes=tuple(columns["sex"].tolist()),
        utterances=columns["utterances"],
        embeddings=columns["embedding"],
        log_f0_mean=columns["log_f0_mean"],
        log_f0_std=columns["log_f0_std"],
    )


def open_voices(data_dir: epath.PathLike, datasets: str | Sequence[str], split: str) -> SpeakerTable:
    """`open_speakers`; of a split without speakers of its own, as where utterances are split, those that train.

    Raises:
      DataError: a dataset does not exist, or has no such split.
    """
    try:
        return open_speakers(data_dir, datasets, split)
    except DataError:
        counts = [dataset_info(data_dir, name)["counts"] for name in dataset_names(datasets)]
        if not any(split in each for each in counts):
            raise
    return open_speakers(data_dir, datasets, "train")


def dataset_info(data_dir: epath.PathLike, dataset: str) -> dict[str, Any]:
    """The metadata of one dataset: corpus, licence, audio settings, counts per split and emotion, failures, digest.

    The `digest` changes with the records' features as they were extracted, names and texts, whatever the `storage` of
    mel and audio. Older datasets lack keys: `digest` those of version 0.1, `storage` and `max_seconds` all that have
    float32 and PCM and were made of the whole corpus.

    `split_by` says what was held out, speakers, or utterances of each speaker where there are few, or what decided, the
    corpus or a file; see `prepare.splits`.

    Raises:
      DataError: there is no such dataset.
    """
    path = dataset_path(data_dir, dataset) / "metadata.json"
    with _read_errors(data_dir, dataset):
        # Not `exists`, which is false without permission too.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return json.loads(path.read_text())
        folder = epath.Path(data_dir) / BUILDER_NAME
        there = sorted(child.name for child in folder.iterdir() if child.is_dir()) if folder.exists() else []
    raise DataError(
        f"There is no dataset {dataset!r} in {printable(data_dir)} (there: {', '.join(there) or 'none'}); "
        "make it with `evc prepare`."
    )


def dataset_digest(data_dir: epath.PathLike, dataset: str) -> str:
    """What changes when a dataset is made anew from something else: of its metadata, and its files' names and sizes.

    Raises:
      DataError: there is no such dataset.
    """
    dataset_info(data_dir, dataset)
    folder = dataset_path(data_dir, dataset)
    with _read_errors(data_dir, dataset):
        sizes = sorted((file.name, file.stat().length) for file in folder.iterdir() if not file.is_dir())
        described = (folder / "metadata.json").read_bytes()
    return hashlib.sha256(described + json.dumps(sizes).encode()).hexdigest()[:32]


def audio_config(data_dir: epath.PathLike, datasets: str | Sequence[str]) -> AudioConfig:
    """The audio settings that the datasets were extracted with.

    Raises:
      DataError: they differ, or a dataset does not exist.
    """
    configs = {name: dataset_info(data_dir, name)["audio"] for name in dataset_names(datasets)}
    (first, config), *others = configs.items()
    for name, other in others:
        if other != config:
            keys = sorted(key for key in config | other if config.get(key) != other.get(key))
            raise DataError(
                f"Datasets {first} and {name} were extracted with different audio settings ({', '.join(keys)}); "
                "prepare one of them again."
            )
    return from_mapping(AudioConfig, config, "audio")


def dataset_names(datasets: str | Sequence[str]) -> list[str]:
    """Splits "a,b" into names; a list passes.

    Raises:
      DataError: no name is given, or one is given twice.
    """
    names = datasets.split(",") if isinstance(datasets, str) else list(datasets)
    names = [name.strip() for name in names if name.strip()]
    if not names or len(set(names)) < len(names):
        raise DataError(f"The datasets are given as {datasets!r}; name one or more different ones, joined by commas.")
    return names
