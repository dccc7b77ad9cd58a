"""Codes of a frozen SpeechSplit: what CodeGAN trains on. Encoded once per work directory, then read from disk."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from etils import epath
from jaxtyping import Float, Int
from tqdm import tqdm

from evc_jax.audio.chunking import WINDOW_FRAMES, split_windows
from evc_jax.data.dataset import SplitSource
from evc_jax.errors import DataError
from evc_jax.features.f0_codes import LogF0Statistics, normalize_f0, quantize_f0
from evc_jax.models.speechsplit.codes import select_codes
from evc_jax.pretrained.bundle import TrainedNetwork
from evc_jax.training.storage import read_cache, replaced_file

BATCH_WINDOWS = 32
CODE_FIELDS = ("mel", "f0_hz", "log_f0_mean", "log_f0_std", "emotion")


class CodeEncoder:
    """A frozen SpeechSplit that turns utterances into windows of codes."""

    def __init__(self, speechsplit: TrainedNetwork, code: str, overlap_frames: int):
        """`code` names the part CodeGAN works on; windows of 192 frames share `overlap_frames`."""
        self.overlap_frames, self.f0_classes = overlap_frames, speechsplit.network.config.f0_classes

        def encode(mel, f0):
            return select_codes(speechsplit.network.apply(speechsplit.params, mel, f0, method="encode"), code)

        self._encode = jax.jit(encode)

    def __call__(self, example: Mapping[str, Any]) -> Float[np.ndarray, "N T C"]:
        """Codes of an utterance's windows, its pitch relative to its speaker's; one compiled shape for any number N."""
        statistics = LogF0Statistics(float(example["log_f0_mean"]), float(example["log_f0_std"]))
        f0 = quantize_f0(normalize_f0(example["f0_hz"], statistics), self.f0_classes)
        mel, f0 = (split_windows(track, WINDOW_FRAMES, self.overlap_frames) for track in (example["mel"], f0))
        codes = []
        for i in range(0, len(mel), BATCH_WINDOWS):
            part_mel, part_f0 = mel[i : i + BATCH_WINDOWS], f0[i : i + BATCH_WINDOWS]
            missing = BATCH_WINDOWS - len(part_mel)
            padded = np.pad(part_mel, ((0, missing), (0, 0), (0, 0))), np.pad(part_f0, ((0, missing), (0, 0)))
            codes.append(np.asarray(self._encode(*padded))[: len(part_mel)])
        return np.concatenate(codes)


@dataclasses.dataclass(frozen=True)
class EncodedSplit:
    """All windows of code of one split, as a `sampling.Table`.

    Attributes:
      codes: the windows.
      emotion: the number of each window's emotion.
      utterance: the number of each window's utterance in the split.
    """

    codes: Float[np.ndarray, "N T C"]
    emotion: Int[np.ndarray, " N"]
    utterance: Int[np.ndarray, " N"]

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, index: int | np.ndarray) -> dict[str, Any]:
        return {"codes": self.codes[index], "emotion": self.emotion[index]}


def encode_split(
    encoder: CodeEncoder, source: SplitSource, emotions: Sequence[str], cache: epath.Path, origin: Mapping[str, Any]
) -> EncodedSplit:
    """Encodes one split, or reads it from `cache` where that was done before.

    Args:
      encoder: the frozen encoder.
      source: random access to the split's utterances, with `CODE_FIELDS`.
      emotions: the emotions of interest, in order; utterances with another one are left out.
      cache: an `.npz` file to keep the codes in.
      origin: what the codes depend on; a cache made from something else, or a damaged one, is made anew.

    Raises:
      DataError: no utterance has one of the emotions.
    """
    fingerprint = hashlib.sha256(json.dumps(dict(origin), sort_keys=True).encode()).hexdigest()
    stored = read_cache(cache, fingerprint)
    if stored is not None:
        return EncodedSplit(**stored)
    codes, labels, utterances = [], [], []
    quiet = not sys.stderr.isatty()
    for number in tqdm(range(len(source)), desc=f"encoding {cache.stem}", unit="utterance", disable=quiet):
        example = source[number]
        if example["emotion"] in emotions:
            encoded = encoder(example)
            codes.append(encoded)
            labels += [emotions.index(example["emotion"])] * len(encoded)
            utterances += [number] * len(encoded)
    if not labels:
        raise DataError(f"No utterance of the data has one of the emotions {', '.join(emotions)}.")
    split = EncodedSplit(np.concatenate(codes), np.asarray(labels, np.int32), np.asarray(utterances, np.int64))
    cache.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(cache) as file:
        np.savez(file, fingerprint=fingerprint, **vars(split))
    return split
