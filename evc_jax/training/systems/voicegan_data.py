"""What VoiceGAN trains on beside the speakers' own embeddings: those of their partial utterances."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath
from jaxtyping import Float
from tqdm import tqdm

from evc_jax.audio.io import from_pcm
from evc_jax.data.sampling import spread_evenly
from evc_jax.features import speaker
from evc_jax.training.storage import read_cache, replaced_file

FIELDS = ("audio", "speaker")


def load_partials(
    source: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    count: int,
    per_speaker: int,
    cache: epath.Path,
    origin: Mapping[str, Any],
) -> Float[np.ndarray, "N M 256"]:
    """Embeds partial utterances of each speaker, or reads them from `cache` where that was done before.

    Args:
      source: utterances at the voice encoder's sample rate, with `FIELDS`.
      names: of the speakers, in the order of the result.
      count: M, partial utterances of each speaker; of one who has fewer they repeat.
      per_speaker: at most so many utterances of each speaker are embedded.
      cache: an `.npz` file to keep the embeddings in.
      origin: what they depend on; a cache made from something else, or a damaged one, is made anew.
    """
    fingerprint = hashlib.sha256(json.dumps(dict(origin), sort_keys=True).encode()).hexdigest()
    if stored := read_cache(cache, fingerprint):
        return stored["partials"]
    utterances: dict[str, list[int]] = {name: [] for name in names}
    for number in range(len(source)):
        utterances[source[number]["speaker"]].append(number)
    partials = []
    for name in tqdm(names, desc="embedding partial utterances", unit="speaker", disable=not sys.stderr.isatty()):
        chosen = spread_evenly(utterances[name], per_speaker)
        mels = np.concatenate([speaker.partial_mels(from_pcm(source[number]["audio"])) for number in chosen])
        mels = np.stack(spread_evenly(list(mels), count))
        partials.append(np.resize(speaker.encode(mels, speaker.GROUP_BATCH_SIZES), (count, speaker.EMBEDDING_DIM)))
    cache.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(cache) as file:
        np.savez(file, fingerprint=fingerprint, partials=np.stack(partials))
    return np.stack(partials)
