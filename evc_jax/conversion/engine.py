"""Conversion of windows of frames: SpeechSplit's codes, their changes, and back to frames.

Windows of several recordings, each with its own options, may share one call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from evc_jax.models.speechsplit.codes import replace_codes, scale_pitch, select_codes
from evc_jax.pretrained.bundle import Bundle

# Compiled batch sizes; recordings of any length are converted with these.
BATCH_SIZES = (1, 4, 16)


@dataclass(frozen=True, eq=False)
class WindowInputs:
    """Windows to convert and the options of each; T is `chunking.WINDOW_FRAMES`.

    Attributes:
      mel: input of the content encoder.
      rhythm_mel: input of the rhythm encoder; equals `mel` unless rhythm comes from another recording.
      f0: classes of `f0_codes.quantize_f0`.
      embedding: speaker embedding for the decoder.
      emotion: a point in the simplex of CodeGAN's emotions at each frame; K is 1 where the bundle has none.
      strength: of the emotion; a frame with 0 keeps its code, bit for bit.
      pitch_gain: factor of the pitch code.
    """

    mel: Float[np.ndarray, "N T F"]
    rhythm_mel: Float[np.ndarray, "N T F"]
    f0: Int[np.ndarray, "N T"]
    embedding: Float[np.ndarray, "N C"]
    emotion: Float[np.ndarray, "N T K"]
    strength: Float[np.ndarray, "N T"]
    pitch_gain: Float[np.ndarray, " N"]

    def __len__(self) -> int:
        return len(self.mel)


def concatenate(parts: Sequence[WindowInputs]) -> WindowInputs:
    """The windows of several requests one after the other, for one call."""
    return WindowInputs(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})


class ConversionEngine:
    """The networks of one bundle, compiled once for each batch size; see `WindowInputs`."""

    def __init__(self, bundle: Bundle):
        self._bundle = bundle
        self._params: dict[str, Any] = {}
        self._convert = jax.jit(self._trace_conversion, static_argnames="emotional")
        self._move_pitch = jax.jit(self._trace_pitch)
        self._change_prosody = jax.jit(self._trace_prosody)

    @property
    def f0_classes(self) -> int:
        """Classes of quantized F0, K."""
        return self._bundle.network("speechsplit").network.config.f0_classes

    @property
    def emotion_classes(self) -> int:
        """Columns of `WindowInputs.emotion`."""
        return max(1, len(self._bundle.emotions_of("codegan")))

    def convert(self, inputs: WindowInputs) -> Float[np.ndarray, "N T F"]:
        """Converts every window; the other windows of the call change it by no more than rounding (1e-6)."""
        # A bundle without CodeGAN converts without emotions.
        emotional = bool(inputs.strength.any())
        params = self._device_params(("speechsplit", "codegan") if emotional else ("speechsplit",))
        return self._in_batches(vars(inputs), lambda batch: self._convert(params, batch, emotional=emotional))

    def move_pitch(
        self, rhythm_mel: Float[np.ndarray, "N T F"], voiced: Bool[np.ndarray, "N T"], f0: Int[np.ndarray, "N T"]
    ) -> Int[np.ndarray, "N T"]:
        """The F0 converter: the F0 contour of one recording with the timing of another one.

        NOTE: SpeechSplit's converter also predicts which frames are voiced. Here the voiced frames are those of the
        recording that gives the rhythm; the embedded bundle's converter is wrong in 30 % of the frames.

        Args:
          rhythm_mel: of the recording that gives the rhythm.
          voiced: its voiced frames.
          f0: classes of the recording that gives the F0 contour.

        Returns:
          classes, 0 exactly where not `voiced`.

        Raises:
          BundleError: the bundle has no F0 converter.
        """
        params = self._device_params(("f0_converter",))
        arrays = {"mel": rhythm_mel, "voiced": voiced, "f0": f0}
        return self._in_batches(arrays, lambda batch: self._move_pitch(params, **batch))

    def change_prosody(
        self, track: Float[np.ndarray, "N T I"], summary: Float[np.ndarray, " S"], emotion: Float[np.ndarray, " K"]
    ) -> Float[np.ndarray, "N T O"]:
        """The prosody network on the windows of one recording; see `models.prosody`."""
        params = self._device_params(("prosody",))
        rows = {"summary": summary, "emotion": emotion}
        arrays = {"track": track, **{name: np.repeat(row[None], len(track), axis=0) for name, row in rows.items()}}
        return self._in_batches(arrays, lambda batch: self._change_prosody(params, **batch))

    def _in_batches(self, arrays: dict[str, np.ndarray], apply: Any) -> np.ndarray:
        out = []
        for part, size in batches(len(next(iter(arrays.values())))):
            batch = {name: values[part] for name, values in arrays.items()}
            count = len(next(iter(batch.values())))
            padded = {
                name: np.pad(values, [(0, size - count), *[(0, 0)] * (values.ndim - 1)])
                for name, values in batch.items()
            }
            out.append(np.asarray(apply(padded))[:count])
        return np.concatenate(out)

    def _device_params(self, names: tuple[str, ...]) -> dict[str, Any]:
        for name in names:
            if name not in self._params:
                self._params[name] = jax.device_put(self._bundle.network(name).params)
        return {name: self._params[name] for name in names}

    def _trace_conversion(self, params: dict[str, Any], inputs: dict[str, Array], *, emotional: bool) -> Array:
        autoencoder = self._bundle.network("speechsplit").network
        codes = autoencoder.apply(
            params["speechsplit"], inputs["mel"], inputs["f0"], rhythm_mel=inputs["rhythm_mel"], method="encode"
        )
        if emotional:
            generator = self._bundle.network("codegan").network
            source = select_codes(codes, self._bundle.code)
            # A frame of the codes stands for several of the mel.
            strength, emotion = (
                each.reshape(*source.shape[:2], -1, each.shape[-1]).mean(axis=2)
                for each in (inputs["strength"][..., None], inputs["emotion"])
            )
            moved = source + strength * (generator.apply(params["codegan"], source, emotion) - source)
            codes = replace_codes(codes, self._bundle.code, jnp.where(strength == 0, source, moved))
        codes = scale_pitch(codes, inputs["pitch_gain"])
        return autoencoder.apply(params["speechsplit"], codes, inputs["embedding"], method="decode")

    def _trace_prosody(self, params: dict[str, Any], track: Array, summary: Array, emotion: Array) -> Array:
        # What the summary tells of a speaker unlike all that were trained on is a guess: half of it counts.
        apply = self._bundle.network("prosody").network.apply
        changes = (apply(params["prosody"], track, share * summary, emotion) for share in (0, 1))
        return sum(changes) / 2

    def _trace_pitch(self, params: dict[str, Any], mel: Array, voiced: Array, f0: Array) -> Array:
        logits = self._bundle.network("f0_converter").network.apply(params["f0_converter"], mel, f0)
        return jnp.where(voiced, 1 + logits[..., 1:].argmax(-1), 0).astype(jnp.int32)


def batches(count: int) -> Iterator[tuple[slice, int]]:
    """Divides `count` windows: each slice of them is to be padded to the compiled size beside it."""
    first = 0
    while first < count:
        size = next((size for size in BATCH_SIZES if size >= count - first), BATCH_SIZES[-1])
        yield slice(first, min(count, first + size)), size
        first += size
