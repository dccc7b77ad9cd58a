"""Feature extraction of a shard of recordings into one file, the same on every machine of the same kind.

The file is a NumPy archive: per usable utterance `mel/I` and `audio/I`, I counting from 0, and for all of them at once
what speaker statistics need, `frames`, `f0_hz`, `embedding`; `failures` lists the recordings that could
not be used, and `digest` is the SHA-256 of all the features.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from etils import epath

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.io import to_pcm
from evc_jax.data.corpora.recording import Recording
from evc_jax.data.prepare import storage
from evc_jax.data.prepare.plan import DESCRIPTION, Plan, WorkShard, read_utterances
from evc_jax.errors import DataError, EvcError
from evc_jax.files import printable

FEATURES_FOLDER = "features"
MAX_FAILED_FRACTION = 0.05
# Of voices that wait to be embedded together: five minutes of speech.
GROUP_BYTES = 1 << 23


@dataclasses.dataclass(frozen=True)
class Failure:
    """A recording that could not be used, and why."""

    utterance_id: str
    reason: str


def features_file(work: epath.PathLike, shard: WorkShard) -> epath.Path:
    """Where the features of a shard lie once it is finished."""
    return epath.Path(work) / FEATURES_FOLDER / f"{shard.fingerprint}.npz"


def extract_shard(shard: WorkShard, work: str, root: str, config: AudioConfig, embedder: str | Callable) -> None:
    """Writes the features of a shard, whole or not at all; does nothing where they are already.

    `work` is the work folder with the plan in it, `root` the corpus's folder, which messages leave out; `embedder` is a
    name or a function [S] -> [256] that another process can import.
    """
    file = features_file(work, shard)
    if file.exists():
        return
    tracks = [np.zeros(0, np.float32)]
    voices: list[np.ndarray] = []
    embeddings: list[np.ndarray] = []
    gains: list[float] = []
    failures: list[tuple[str, str]] = []
    to_voice, to_embeddings = _embedder_functions(embedder)
    digest = hashlib.sha256()
    with storage.atomic_file(file) as local, zipfile.ZipFile(local, "w") as archive:

        def add(name: str, array: np.ndarray) -> None:
            digest.update(array.tobytes())
            # A ZipInfo carries a fixed date, so that the same features are the same bytes.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)

        for utterance in read_utterances(work, shard):
            outcome = _extract(utterance, config, to_voice)
            if isinstance(outcome, str):
                reason = outcome.replace(root.rstrip("/") + "/", "")
                failures.append((utterance.utterance_id, printable(reason)))
                continue
            # Written at once, as a shard of audiobook chapters does not fit into memory.
            analysis, voice = outcome
            add(f"mel/{len(tracks) - 1}", analysis.mel.astype(np.float32))
            add(f"audio/{len(tracks) - 1}", to_pcm(analysis.audio))
            tracks.append(analysis.f0_hz.astype(np.float32))
            gains.append(analysis.level_gain)
            voices.append(voice)
            if sum(each.nbytes for each in voices) >= GROUP_BYTES:
                embeddings += to_embeddings(voices)
                voices.clear()
        embeddings += to_embeddings(voices) if voices else []
        add("frames", np.array([len(track) for track in tracks[1:]], np.int64))
        add("f0_hz", np.concatenate(tracks))
        add("embedding", np.array(embeddings, np.float32))
        add("level_gain", np.array(gains, np.float32))
        add("digest", np.array(digest.hexdigest()))
        add("failures", np.array(json.dumps(failures)))


def _embedder_functions(embedder: str | Callable) -> tuple[Callable, Callable]:
    """What of a recording's samples waits to be embedded, and what gives the embeddings of several recordings."""
    from evc_jax.features import speaker

    embedder = speaker.get_embedder(embedder) if isinstance(embedder, str) else embedder
    return (speaker.partial_mels, speaker.embed_group) if embedder is speaker.embed else (embedder, list)


def _extract(utterance: Recording, config: AudioConfig, to_voice: Callable):
    """The analysis of a recording and what is to be embedded, or why it cannot be used."""
    from evc_jax.audio import io as audio_io
    from evc_jax.features.extract import analyse

    try:
        with storage.local_copy(utterance.path) as file:
            try:
                samples = audio_io.load(file, config.sample_rate_hz)
                analysis = analyse(samples, config.sample_rate_hz, config)
                return analysis, to_voice(analysis.voice)
            except EvcError as error:
                return str(error).replace(str(file), os.fspath(utterance.path))
    except DataError:  # of the disk for temporary files, not of the recording
        raise
    except Exception as error:  # A corpus of millions holds files that break a codec in unforeseen ways.
        return f"{type(error).__name__}: {error}"


@dataclasses.dataclass(frozen=True)
class ShardFeatures:
    """The features of the N usable utterances of a finished shard, in its order."""

    utterances: list[Recording]
    f0_hz: list[np.ndarray]  # of each [T] float32, 0 where unvoiced
    embeddings: np.ndarray  # [N, 256] float32
    level_gains: np.ndarray  # [N] float32
    archive: np.lib.npyio.NpzFile  # `mel/I` [T, F] float32 and `audio/I` [S] int16, read anew at each access


@contextlib.contextmanager
def open_features(work: epath.PathLike, shard: WorkShard, download: bool = False) -> Iterator[ShardFeatures]:
    """Opens what `extract_shard` wrote; `download` is best where all of it will be read, and it lies in a bucket."""
    with contextlib.ExitStack() as stack:
        file = features_file(work, shard)
        source = stack.enter_context(storage.local_copy(file) if download else file.open("rb"))
        archive = stack.enter_context(np.load(source))
        failed = {failure.utterance_id for failure in _failures(archive)}
        usable = [utterance for utterance in read_utterances(work, shard) if utterance.utterance_id not in failed]
        tracks = np.split(archive["f0_hz"], np.cumsum(archive["frames"])[:-1])
        yield ShardFeatures(usable, tracks, archive["embedding"], archive["level_gain"], archive)


@dataclasses.dataclass(frozen=True)
class Results:
    """What all finished shards hold.

    Attributes:
      counts: how many utterances of each shard are usable.
      usable: the usable ones, ordered by id.
      failures: the others, ordered by id.
      digest: of the features and of what is known of the utterances, wherever the corpus lies.
      frames: mel frames of the usable ones, by id.
    """

    counts: list[int]
    usable: list[Recording]
    failures: list[Failure]
    digest: str
    frames: dict[str, int]


def gather_results(plan: Plan, utterances: Sequence[Recording], work: epath.Path, source: str | Path) -> Results:
    """The results of all shards, which are finished; `utterances` are all of the corpus, ordered by id.

    Raises:
      DataError: more than `MAX_FAILED_FRACTION` of the recordings cannot be used.
    """
    outcomes = storage.all_at_once(functools.partial(_read_outcome, work), plan.shards)
    by_shard = [failures for failures, *_ in outcomes]
    failures = sorted((failure for some in by_shard for failure in some), key=lambda failure: failure.utterance_id)
    if len(failures) > MAX_FAILED_FRACTION * len(utterances):
        # After a repair, or when a disk is back, they get another chance.
        for shard, some in zip(plan.shards, by_shard, strict=True):
            if some:
                features_file(work, shard).unlink()
        first = "; ".join(failure.reason.rstrip(".") for failure in failures[:3])
        raise DataError(
            f"{len(failures)} of the {len(utterances)} recordings in {printable(source)} cannot be used, more than "
            f"{MAX_FAILED_FRACTION:.0%}; repair or remove them (the first: {first})."
        )
    failed = {failure.utterance_id for failure in failures}
    usable = [utterance for utterance in utterances if utterance.utterance_id not in failed]
    digest = hashlib.sha256("".join(features for _, features, _ in outcomes).encode())
    for utterance in usable:
        digest.update(json.dumps([getattr(utterance, name) for name in DESCRIPTION]).encode())
    counts = [shard.utterances - len(some) for shard, some in zip(plan.shards, by_shard, strict=True)]
    frames = {name: count for *_, each in outcomes for name, count in each.items()}
    return Results(counts, usable, failures, digest.hexdigest()[:32], frames)


def _read_outcome(work: epath.PathLike, shard: WorkShard) -> tuple[list[Failure], str, dict[str, int]]:
    """What of a finished shard could not be used, the digest of the rest's features, and their mel frames by id."""
    with features_file(work, shard).open("rb") as file, np.load(file) as archive:
        failures, frames = _failures(archive), archive["frames"].tolist()
        failed = {failure.utterance_id for failure in failures}
        names = [each.utterance_id for each in read_utterances(work, shard) if each.utterance_id not in failed]
        return failures, str(archive["digest"]), dict(zip(names, frames, strict=True))


def _failures(archive: np.lib.npyio.NpzFile) -> list[Failure]:
    return [Failure(*failure) for failure in json.loads(str(archive["failures"]))]
