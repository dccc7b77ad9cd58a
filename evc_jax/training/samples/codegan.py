"""CodeGAN: an utterance in every emotion, decoded by the frozen SpeechSplit: its codes, melody and sound."""

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
from evc_jax.audio.plotting import DARK_INK, Curve, CurvePanel, Panel, Picture, picture_of_curves
from evc_jax.config import from_mapping
from evc_jax.features.f0_codes import quantize_f0
from evc_jax.models.speechsplit.codes import replace_codes, select_codes
from evc_jax.pretrained.bundle import TrainedNetwork, build_network
from evc_jax.pretrained.workdir import load_for_inference
from evc_jax.training.config import TrainConfig
from evc_jax.training.samples.sample_logger import SampleLogger, Summary
from evc_jax.training.samples.utterances import Utterance, batch, choose
from evc_jax.training.systems.codegan import Options

UNCONVERTED = "unconverted"
CODE_RANGE = 1.0  # codes are outputs of an LSTM
CHANGE_RANGE = 0.5


class CodeGANSampleLogger(SampleLogger):
    """Codes, mel, F0 and sound of each emotion."""

    def __init__(self, config: TrainConfig, settings: Mapping[str, Any]):
        super().__init__(config, settings)
        self._options = from_mapping(Options, config.options, "config.options")

    def _summaries(self, params: Any) -> Iterator[Summary]:
        if not self._utterances:
            return
        inputs = batch(self._utterances, WINDOW_FRAMES)
        both = (self._speechsplit.params, params)
        codes, mels = map(np.asarray, self._run(both, inputs.mel, inputs.f0, inputs.embedding))
        names = (UNCONVERTED, *self._options.emotions)
        for utterance, code, converted in zip(self._utterances, codes, mels, strict=True):
            resyntheses = self._resyntheses(utterance, names, converted)
            yield self._codes_picture(utterance, dict(zip(names, code, strict=True)))
            before = resyntheses[UNCONVERTED]
            of_emotions = {name: resyntheses[name] for name in self._options.emotions}
            yield self._mels(utterance, "mel", Panel(UNCONVERTED, before.mel, before.f0_hz), of_emotions)
            curves = [Curve(UNCONVERTED, before.f0_hz, DARK_INK, width=3.5)]
            for number, (name, made) in enumerate(of_emotions.items()):
                curves.append(Curve(name, made.f0_hz, f"C{number}", width=1.8))
            panel = CurvePanel("F0 of each conversion", before.mel, tuple(curves))
            f0 = picture_of_curves([panel], self._audio, utterance.title, utterance.f0_range_hz, (9.0, 4.2))
            yield Summary(f"{utterance.tag}/f0", f0)
            yield from self._sounds(utterance, {name: made.audio for name, made in resyntheses.items()})

    @functools.cached_property
    def _utterances(self) -> tuple[Utterance, ...]:
        return choose(self._data, WINDOW_FRAMES, self._options.emotions)

    @functools.cached_property
    def _speechsplit(self) -> TrainedNetwork:
        trained = load_for_inference(self._options.speechsplit)
        network = build_network("speechsplit", trained.networks["speechsplit"])
        return TrainedNetwork(network, trained.params["speechsplit"])

    def _codes_picture(self, utterance: Utterance, codes: Mapping[str, Float[np.ndarray, "T C"]]) -> Summary:
        encoders = self._speechsplit.network.config
        parts = {name: getattr(encoders, name).code_channels for name in self._options.code.split("_")}
        frames_per_code = WINDOW_FRAMES // len(codes[UNCONVERTED])
        shown = {name: code[: -(-len(utterance.mel) // frames_per_code)] for name, code in codes.items()}
        step_s = frames_per_code * self._audio.hop_samples / self._audio.sample_rate_hz
        return Summary(f"{utterance.tag}/codes", draw_codes(shown, parts, step_s, utterance.title))

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
        left.set_title(name, color=DARK_INK, fontsize=9, loc="left")
        change = _draw_code(right, code - source, parts, step_s, CHANGE_RANGE)
        size = np.abs(code - source).mean()
        right.set_title(f"changed by {size:.2f} on average", color=DARK_INK, fontsize=9, loc="left")
    for column, (image, label) in enumerate(((value, "value of the code"), (change, "change of the code"))):
        grid[-1, column].set_xlabel("time in s", color=DARK_INK, fontsize=8)
        bar = figure.colorbar(image, ax=grid[:, column], location="bottom", pad=0.01, aspect=40, extend="both")
        bar.set_label(label, color=DARK_INK, fontsize=9)
        bar.ax.tick_params(colors=DARK_INK, labelsize=8)
    return plotting.render(figure)


def _draw_code(axes, code: Float[np.ndarray, "T C"], parts: Mapping[str, int], step_s: float, limit: float):
    """Draws one code, its first part at the top; returns the image, for a color bar.

    The rhythm's two channels would vanish beside the pitch's 64, so a part is as high as the root of its channels.
    """
    first, bottoms = 0, np.cumsum(np.sqrt(list(parts.values()))[::-1])[::-1]
    edges = [*bottoms, 0.0]
    for top, bottom, channels in zip(edges, edges[1:], parts.values(), strict=False):
        extent = (0, len(code) * step_s, bottom, top)
        values = code[:, first : first + channels].T
        colors = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit, "interpolation": "nearest"}
        image = axes.imshow(values, aspect="auto", extent=extent, **colors)
        axes.axhline(bottom, color="white", linewidth=1.5)
        first += channels
    axes.set_xlim(0, len(code) * step_s)
    axes.set_ylim(0, edges[0])
    centres = np.add(edges[1:], edges[:-1]) / 2
    axes.set_yticks(centres, [f"{name} ({channels})" for name, channels in parts.items()])
    axes.tick_params(colors=DARK_INK, labelsize=8, left=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return image
