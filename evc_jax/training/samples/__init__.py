"""What a training shows at validation: pictures and sounds of a few fixed utterances, for TensorBoard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

from etils import epath

from evc_jax.training.config import TrainConfig
from evc_jax.training.samples.summaries import Summary, write_summaries

__all__ = ["Summary", "SampleLogger", "build_sample_logger", "write_summaries"]


@runtime_checkable
class SampleLogger(Protocol):
    """Shows what the parameters of a system can do by now."""

    def __call__(self, inference_params: Mapping[str, Any]) -> Iterator[Summary]:
        """Summary made with these parameters, on this process alone.

        Data is read and programs are compiled at the first call; what never changes is shown then only.

        Args:
          inference_params: per network its parameters, host arrays, as the system exports them.
        """


def build_sample_logger(
    config: TrainConfig, networks: Mapping[str, Mapping[str, Any]], workdir: epath.PathLike
) -> SampleLogger:
    """The sample_logger of the system that is trained; cheap, nothing is read yet.

    Args:
      config: the training.
      networks: per network its settings, as the system names them.
      workdir: the training's folder.
    """
    del workdir  # nothing is kept there
    if config.system == "speechsplit":
        from evc_jax.training.samples.speechsplit import SpeechSplitSampleLogger as kind
    elif config.system == "f0_converter":
        from evc_jax.training.samples.f0_converter import F0ConverterSampleLogger as kind
    elif config.system == "voicegan":
        from evc_jax.training.samples.voicegan import VoiceGANSampleLogger as kind
    elif config.system == "codegan":
        from evc_jax.training.samples.codegan import CodeGANSampleLogger as kind
    else:
        from evc_jax.training.samples.waveglow import WaveGlowSampleLogger as kind
    return kind(config, networks)
