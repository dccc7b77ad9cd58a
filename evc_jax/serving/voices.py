"""The voices that requests can have: uploaded, sampled, the bundle's, and those of a folder of the operator's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from evc_jax.conversion import voice_store
from evc_jax.conversion.requested_voice import ORIGINAL_VOICE, SAMPLED_VOICE, Voice
from evc_jax.conversion.voices import Voices, read_voice
from evc_jax.errors import ConfigError
from evc_jax.serving.admission import check_deadline
from evc_jax.serving.recordings import naming_field


class RequestVoices(Voices):
    """`Voices` of uploads, of the bundle and sampled ones: no file is read and nothing is kept."""

    def _one(self, voice: Voice, seed: int) -> Float[np.ndarray, " C"]:
        check_deadline()
        if isinstance(voice, np.ndarray):
            with naming_field("voice_file"):
                return super()._one(voice, seed)
        known = self._bundle.voices.get(str(voice))
        return known.embedding if known else self.sample(1, str(voice).removeprefix(SAMPLED_VOICE), seed)[0]


def read_named_voices(folder: str) -> dict[str, Float[np.ndarray, " C"]]:
    """The voices of `evc voices` in a folder, by name; none where no folder is given.

    Raises:
      ConfigError: there is no such folder, or one of its files is no voice.
    """
    if not folder:
        return {}
    if not Path(folder).is_dir():
        raise ConfigError(f"There is no folder of voices at {folder}; give one that `evc voices` wrote into.")
    return {name: read_voice(file) for name, file in voice_store.names(folder).items() if name != ORIGINAL_VOICE}
