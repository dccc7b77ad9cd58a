"""Pictures and sounds of a few fixed utterances at validation, for TensorBoard."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from typing import Any

from evc_jax.training.config import TrainConfig
from evc_jax.training.samples.sample_logger import SampleLogger

# Imported when it is built: each brings its networks and matplotlib.
_CLASSES = {
    "speechsplit": "evc_jax.training.samples.speechsplit:SpeechSplitSampleLogger",
    "f0_converter": "evc_jax.training.samples.f0_converter:F0ConverterSampleLogger",
    "voicegan": "evc_jax.training.samples.voicegan:VoiceGANSampleLogger",
    "codegan": "evc_jax.training.samples.codegan:CodeGANSampleLogger",
    "waveglow": "evc_jax.training.samples.waveglow:WaveGlowSampleLogger",
}


def build_sample_logger(config: TrainConfig, networks: Mapping[str, Mapping[str, Any]]) -> SampleLogger:
    """The sample logger of the system that is trained; nothing is read yet.

    Args:
      config: the training.
      networks: per network its settings, as the system names them.
    """
    return pkgutil.resolve_name(_CLASSES[config.system])(config, networks[config.system])
