"""CodeGAN: an utterance in every emotion, decoded by the frozen SpeechSplit: its codes, mel and sound."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from evc_jax.audio import plotting
from evc_jax.audio.chunking import WINDOW_FRAMES
from evc_jax.audio.plotting import Panel, Picture
from evc_jax.config import from_mapping
from evc_jax.features.f0_codes import quantize_f0
from evc_jax.models.speechsplit.codes import replace_codes, select_codes
from evc_jax.pretrained.bundle import TrainedNetwork
from evc_jax.pretrained.start import trained_network
from evc_jax.training.config import TrainConfig
from evc_jax.training.samples.sample_logger import SampleLogger, Summary, picture
from evc_jax.training.samples.utterances import Utterance, batch, choose
from evc_jax.training.systems.codegan import Options

UNCONVERTED = "unconverted"
CODE_RANGE = 1.0  # codes are outputs of an LSTM
CHANGE_RANGE = 0.5


class CodeGANSampleLogger(SampleLogger):
    """Codes, mel with F0, and sound of each emotion."""

    def __init__(self, config: TrainConfig, settings: Mapping[str, Any]):
        super().__init__(config, settings)
        self._options = from_mapping(Options, config.options, "config.options")

    def _summaries(self, params: Any) -> Iterator[Summary]:
        if not self._utterances:
            return
        both = (self._speechsplit.params, params)
        codes, mels = map(np.asarray, self._run(both, *batch(self._utterances, WINDOW_FRAMES)))
        names = (UNCONVERTED, *self._options.emotions)
        for utterance, code, converted in zip(self._utterances, codes, mels, strict=True):
            resyntheses = self._resyntheses(utterance, names, converted)
            yield self._codes_picture(utterance, dict(zip(names, code, strict=True)))
            before = resyntheses[UNCONVERTED]
            of_emotions = {name: resyntheses[name] for name in self._options.emotions}
            yield self._mels(utterance, "mel", Panel(UNCONVERTED, before.mel, before.f0_hz), of_emotions)
            yield from self._sounds(utterance, {name: made.audio for name, made in resyntheses.items()})

    @functools.cached_property
    def _utterances(self) -> tuple[Utterance, ...]:
        return choose(self._data, WINDOW_FRAMES)

    @functools.cached_property
    def _speechsplit(self) -> TrainedNetwork:
        return trained_network(self._options.speechsplit, "speechsplit", self._options.speechsplit_checkpoint)

    def _codes_picture(self, utterance: Utterance, codes: Mapping[str, Float[np.ndarray, "T C"]]) -> Summary:
        encoders = self._speechsplit.network.config
        parts = {name: getattr(encoders, name).code_channels for name in self._options.code.split("_")}
        frames_per_code = WINDOW_FRAMES // len(codes[UNCONVERTED])
        shown = {name: code[: -(-len(utterance.mel) // frames_per_code)] for name, code in codes.items()}
        step_s = frames_per_code * self._audio.hop_samples / self._audio.sample_rate_hz
        return picture(f"{utterance.tag}/codes", draw_codes(shown, parts, step_s, utterance.title))

    def _trace(
        self,
        params: tuple[Any, Any],
        mel: Float[Array, "B T F"],
        f0: Float[Array, "B T"],
        embedding: Float[Array, "B E"],
    ) -> tuple[Float[Array, "B V Tc C"], Float[Array, "B V T F"]]:
        """The codes, and the mel decoded from them, unconverted and at full strength in each emotion.

        `params` are those of the frozen SpeechSplit and of CodeGAN.
        """
        autoencoder = self._speechsplit.network
        frozen, trained = params
        emotions = len(self._options.emotions)
        codes = autoencoder.apply(frozen, mel, quantize_f0(f0, autoencoder.config.f0_classes), method="encode")
        source = select_codes(codes, self._options.code)
        repeated = jnp.repeat(source, emotions, axis=0)
        target = jnp.tile(jnp.eye(emotions), (len(mel), 1))
        converted = self._network.apply(trained, repeated, target).reshape(len(mel), emotions, *source.shape[1:])
        values = jnp.concatenate([source[:, None], converted], axis=1)
        variants = emotions + 1
        every = jax.tree.map(lambda part: jnp.repeat(part, variants, axis=0), codes)
        every = replace_codes(every, self._options.code, values.reshape(-1, *source.shape[1:]))
        decoded = autoencoder.apply(frozen, every, jnp.repeat(embedding, variants, axis=0), method="decode")
        return values, decoded.reshape(len(mel), variants, *mel.shape[1:])


def draw_codes(
    codes: Mapping[str, Float[np.ndarray, "T C"]], parts: Mapping[str, int], step_s: float, title: str
) -> Picture:
    """Codes below each other, and beside each what the conversion changed.

    Args:
      codes: by name; the first one is what the others came from.
      parts: channels of each part of the code, in order.
      step_s: duration of one step of the code.
      title: of the picture.
    """
    figure = plotting.new_figure(9.0, 1.25 * len(codes) + 1.5, title)
    grid = figure.subplots(len(codes), 2, sharex=True, sharey=True, squeeze=False)
    source = next(iter(codes.values()))
    for (left, right), (name, code) in zip(grid, codes.items(), strict=True):
        value = _draw_code(left, code, parts, step_s, CODE_RANGE)
        left.set_title(name, loc="left")
        change = _draw_code(right, code - source, parts, step_s, CHANGE_RANGE)
        right.set_title(f"changed by {np.abs(code - source).mean():.2f} on average", loc="left")
    for column, (image, label) in enumerate(((value, "value of the code"), (change, "change of the code"))):
        grid[-1, column].set_xlabel("time in s")
        figure.colorbar(image, ax=grid[:, column], location="bottom", aspect=40, extend="both", label=label)
    return plotting.render(figure)


def _draw_code(axes, code: Float[np.ndarray, "T C"], parts: Mapping[str, int], step_s: float, limit: float):
    """Draws one code, its first part at the top; returns the image, for a color bar.

    The rhythm's two channels would vanish beside the pitch's 64, so a part is as high as the root of its channels.
    """
    heights = np.concatenate([np.full(channels, channels**-0.5) for channels in parts.values()])
    edges = np.cumsum([0.0, *heights])
    image = axes.pcolormesh(np.arange(len(code) + 1) * step_s, edges, code.T, cmap="RdBu_r", vmin=-limit, vmax=limit)
    sizes = np.sqrt(list(parts.values()))
    axes.set_yticks(np.cumsum(sizes) - sizes / 2, [f"{name} ({channels})" for name, channels in parts.items()])
    axes.set_ylim(edges[-1], 0)
    return image
