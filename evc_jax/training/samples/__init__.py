"""What a training shows at validation: pictures and sounds of a few fixed utterances, for TensorBoard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

from etils import epath

from evc_jax.training.config import TrainConfig
from evc_jax.training.samples.summaries import Exhibit, write_exhibits

__all__ = ["Exhibit", "Showcase", "build_showcase", "write_exhibits"]


@runtime_checkable
class Showcase(Protocol):
    """Shows what the parameters of a system can do by now."""

    def __call__(self, exported: Mapping[str, Any]) -> Iterator[Exhibit]:
        """Exhibits made with these parameters, on this process alone.

        Data is read and programs are compiled at the first call; what never changes is shown then only.

        Args:
          exported: per network its parameters, host arrays, as the system exports them.
        """


def build_showcase(config: TrainConfig, networks: Mapping[str, Mapping[str, Any]], workdir: epath.PathLike) -> Showcase:
    """The showcase of the system that is trained; cheap, nothing is read yet.

    Args:
      config: the training.
      networks: per network its settings, as the system names them.
      workdir: the training's folder.
    """
    del workdir  # nothing is kept there
    if config.system == "speechsplit":
        from evc_jax.training.samples.speechsplit import SpeechSplitShowcase as kind
    elif config.system == "f0_converter":
        from evc_jax.training.samples.f0_converter import F0ConverterShowcase as kind
    elif config.system == "voicegan":
        from evc_jax.training.samples.voicegan import VoiceGANShowcase as kind
    elif config.system == "codegan":
        from evc_jax.training.samples.codegan import CodeGANShowcase as kind
    else:
        from evc_jax.training.samples.waveglow import WaveGlowShowcase as kind
    return kind(config, networks)
