"""From a corpus on disk to a complete dataset: extraction, speaker statistics, shards, put in place at once."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import io
import os
import re
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from absl import logging

from evc_jax.audio import AudioConfig
from evc_jax.config import to_mapping
from evc_jax.data.corpora import CORPORA, read_corpus
from evc_jax.data.extraction import Extracted, Failure, extract_all, load_arrays
from evc_jax.data.recordings import SPLITS, Recording
from evc_jax.data.source import SPEAKERS_FILE, dataset_info, dataset_path, open_speakers, open_split
from evc_jax.data.splits import assign_splits
from evc_jax.errors import DataError

__all__ = ["PrepareReport", "dataset_info", "open_speakers", "open_split", "prepare"]

METADATA_FORMAT = 1
MAX_FAILED_FRACTION = 0.05
_DATASET_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclasses.dataclass(frozen=True)
class PrepareReport:
    """What `prepare` did.

    Attributes:
      dataset: name under which the dataset is opened.
      path: the folder that was written.
      counts: utterances per split.
      failures: recordings that could not be used.
      seconds: time taken.
    """

    dataset: str
    path: Path
    counts: dict[str, int]
    failures: tuple[Failure, ...]
    seconds: float

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {split}" for split, count in self.counts.items())
        lines = [f"{self.dataset}: {counts} in {self.seconds:.0f} s, {len(self.failures)} unusable -> {self.path}"]
        return "\n".join(lines + [f"  unusable: {failure.utterance_id}: {failure.reason}" for failure in self.failures])


def prepare(
    name: str,
    source: str | Path,
    out_dir: str | Path,
    *,
    dataset_name: str | None = None,
    config: AudioConfig | None = None,
    embedder: str | Callable[[np.ndarray], np.ndarray] = "jax",
    workers: int | None = None,
    progress: bool = True,
) -> PrepareReport:
    """Extracts a corpus and writes it as the TFDS dataset `speech/<dataset_name>` in `out_dir`.

    The dataset appears complete or not at all: an existing one of the same name stays until the new one is written,
    and nothing is left behind after an error. The same input gives the same bytes, whatever the number of workers.

    Args:
      name: corpus layout, a key of `corpora.CORPORA`.
      source: the corpus's folder (for "manifest" the CSV file).
      out_dir: where datasets are collected.
      dataset_name: name of the dataset and prefix of its speakers; the corpus's name if None.
      config: audio settings; the default ones if None.
      embedder: "jax", "resemblyzer", or a function [S] -> [256] that another process can import.
      workers: extraction processes; all cores if None.
      progress: whether to draw a progress bar.

    Raises:
      DataError: the corpus cannot be read, more than 5 % of it is unusable, or the name is not usable.
    """
    start = time.monotonic()
    dataset, config, source = dataset_name or name, config or AudioConfig(), Path(source)
    if not _DATASET_NAME.fullmatch(dataset):
        raise DataError(f"The dataset name {dataset!r} is not usable; use letters, digits, hyphens and underscores.")
    if "://" in str(out_dir):
        raise DataError(f"{out_dir} is not a local folder; prepare in one and copy the finished dataset there.")
    recordings = assign_splits(read_corpus(name, source, dataset))
    with _work_folder(Path(out_dir), dataset) as work:
        features = work / "features"
        features.mkdir()
        extracted, failures = extract_all(recordings, features, config, embedder, workers, progress)
        failures = [_without_root(failure, source) for failure in failures]
        _check_failures(failures, len(recordings), source)
        metadata = _metadata(name, config, embedder, extracted, failures)
        _write(work / "new", dataset, extracted, config, CORPORA[name].licence, metadata)
        target = Path(dataset_path(out_dir, dataset))
        _put_in_place(Path(dataset_path(work / "new", dataset)), target, work / "old")
    return PrepareReport(dataset, target, metadata["counts"], tuple(failures), time.monotonic() - start)


@contextlib.contextmanager
def _work_folder(out_dir: Path, dataset: str) -> Iterator[Path]:
    """A folder beside the result, so that moving it into place is a rename; what a killed run left is removed."""
    work = out_dir / f".prepare-{dataset}"
    try:
        work.mkdir(parents=True, exist_ok=True)
        handle = os.open(work, os.O_RDONLY)
    except OSError as error:
        raise DataError(f"{out_dir} cannot be written ({error}); give another output folder.") from error
    try:
        try:
            # The system releases the lock with the process, however that ends.
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(f"Dataset {dataset} is being prepared in {out_dir} by another process; wait.") from error
        for child in work.iterdir():
            shutil.rmtree(child)
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)
    finally:
        os.close(handle)


def _without_root(failure: Failure, source: Path) -> Failure:
    root = source if source.is_dir() else source.parent
    return dataclasses.replace(failure, reason=failure.reason.replace(str(root) + os.sep, ""))


def _check_failures(failures: Sequence[Failure], total: int, source: Path) -> None:
    if len(failures) <= MAX_FAILED_FRACTION * total:
        return
    first = "; ".join(failure.reason.rstrip(".") for failure in failures[:3])
    raise DataError(
        f"{len(failures)} of the {total} recordings in {source} cannot be used, more than "
        f"{MAX_FAILED_FRACTION:.0%}; repair or remove them (the first: {first})."
    )


def _metadata(
    corpus: str,
    config: AudioConfig,
    embedder: str | Callable,
    extracted: Sequence[Extracted],
    failures: Sequence[Failure],
) -> dict:
    recordings = [utterance.recording for utterance in extracted]
    splits = Counter(recording.split for recording in recordings)
    return {
        "format": METADATA_FORMAT,
        "corpus": corpus,
        "licence": CORPORA[corpus].licence,
        "audio": to_mapping(config),
        "embedder": embedder if isinstance(embedder, str) else getattr(embedder, "__name__", "custom"),
        "counts": {split: splits[split] for split in SPLITS if splits[split]},
        "emotions": dict(sorted(Counter(recording.emotion for recording in recordings).items())),
        "speakers": len({recording.speaker for recording in recordings}),
        "failures": [dataclasses.asdict(failure) for failure in failures],
    }


def _write(
    data_dir: Path, dataset: str, extracted: Sequence[Extracted], config: AudioConfig, licence: str, metadata: dict
) -> None:
    from evc_jax.data.speech import Speech, SpeechConfig, shards_of

    speakers = _speakers(extracted)
    settings = SpeechConfig(
        name=dataset,
        mel_bands=config.mel_bands,
        licence=licence,
        metadata=metadata,
        shards=shards_of(extracted, speakers),
    )
    with _quiet():
        Speech(data_dir=data_dir, config=settings, file_format="array_record").download_and_prepare()
    rows = [speakers[name] for name in sorted(speakers)]
    np.savez(
        Path(dataset_path(data_dir, dataset)) / SPEAKERS_FILE,
        **{field.name: np.array([getattr(row, field.name) for row in rows]) for field in dataclasses.fields(rows[0])},
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # TFDS announces a download, warns of every config of ours and names a folder that is about to move.
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)


def _speakers(extracted: Sequence[Extracted]) -> dict:
    from evc_jax.data.speech import Speaker
    from evc_jax.pitch import pool
    from evc_jax.speaker import embed_speaker

    utterances: dict[str, list[Extracted]] = defaultdict(list)
    for utterance in extracted:
        utterances[utterance.recording.speaker].append(utterance)
    speakers = {}
    for name, members in utterances.items():
        arrays = [load_arrays(member.file, "f0_hz", "embedding") for member in members]
        log_f0, first = pool([a["f0_hz"] for a in arrays]), members[0].recording
        speakers[name] = Speaker(
            name=name,
            sex=first.sex,
            split=_only_split([member.recording for member in members]),
            utterances=len(members),
            embedding=np.asarray(embed_speaker([a["embedding"] for a in arrays]), np.float32),
            log_f0_mean=float(log_f0.mean),
            log_f0_std=float(log_f0.std),
        )
    return speakers


def _only_split(recordings: Sequence[Recording]) -> str:
    # A lone speaker's utterances are spread over all splits; as a voice they train.
    splits = {recording.split for recording in recordings}
    return splits.pop() if len(splits) == 1 else "train"


def _put_in_place(new: Path, target: Path, old: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    replaced = target.exists()
    if replaced:
        target.rename(old)
    try:
        new.rename(target)
    except OSError:
        if replaced:
            old.rename(target)
        raise
