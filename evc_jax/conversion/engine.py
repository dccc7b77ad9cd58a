"""Windows of frames through the networks: SpeechSplit's codes, what is wished of them, and back to frames.

Windows of several recordings, each with its own options, may share one call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from evc_jax.models.speechsplit.codes import replace_codes, scale_pitch, select_codes
from evc_jax.pretrained.bundle import Bundle

# Windows go through the networks in batches of these sizes, so that no recording's length compiles anything anew.
BATCH_SIZES = (1, 4, 16)


@dataclass(frozen=True, eq=False)
class WindowInputs:
    """Windows to convert and what is wished of each; T is `windows.WINDOW_FRAMES`.

    Attributes:
      mel: whose content counts.
      rhythm_mel: whose timing counts; the same frames as `mel` unless rhythm comes from another recording.
      f0: classes of `pitch.quantize_f0`.
      embedding: the voice to decode with.
      emotion: one-hot over the bundle's emotions; [N, 1] where it has none.
      strength: of the emotion; a window with 0 keeps its codes, bit for bit.
      pitch_gain: what the pitch code is multiplied with.
    """

    mel: Float[np.ndarray, "N T F"]
    rhythm_mel: Float[np.ndarray, "N T F"]
    f0: Int[np.ndarray, "N T"]
    embedding: Float[np.ndarray, "N C"]
    emotion: Float[np.ndarray, "N K"]
    strength: Float[np.ndarray, " N"]
    pitch_gain: Float[np.ndarray, " N"]

    def __len__(self) -> int:
        return len(self.mel)

    def arrays(self) -> dict[str, np.ndarray]:
        """The fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def concatenate(parts: Sequence[WindowInputs]) -> WindowInputs:
    """The windows of several requests one after the other, to share one call."""
    arrays = [part.arrays() for part in parts]
    return WindowInputs(**{name: np.concatenate([part[name] for part in arrays]) for name in arrays[0]})


class ConversionEngine:
    """The networks of one bundle, compiled once for each batch size; see `WindowInputs`."""

    def __init__(self, bundle: Bundle):
        self._bundle = bundle
        self._params: dict[str, Any] = {}
        self._convert = jax.jit(self._trace_conversion, static_argnames="emotional")
        self._move_pitch = jax.jit(self._trace_pitch)

    @property
    def f0_classes(self) -> int:
        """Classes of quantized F0, K."""
        return self._bundle.network("speechsplit").config.f0_classes

    @property
    def emotion_classes(self) -> int:
        """Columns of `WindowInputs.emotion`."""
        return max(1, len(self._bundle.emotions)) if self._bundle.has("codegan") else 1

    def convert(self, inputs: WindowInputs) -> Float[np.ndarray, "N T F"]:
        """Converts every window; which others share the call makes no difference beyond rounding (1e-6)."""
        # Without an emotion CodeGAN need not be there.
        emotional = bool(inputs.strength.any())
        params = self._device_params(("speechsplit", "codegan") if emotional else ("speechsplit",))
        return self._in_batches(inputs.arrays(), lambda batch: self._convert(params, batch, emotional=emotional))

    def move_pitch(
        self, rhythm_mel: Float[np.ndarray, "N T F"], voiced: Bool[np.ndarray, "N T"], f0: Int[np.ndarray, "N T"]
    ) -> Int[np.ndarray, "N T"]:
        """The F0 converter: the melody of one recording at the frames of another one.

        NOTE: SpeechSplit's converter decides what is voiced, too. Here that is known of the recording that gives the
        rhythm; the embedded bundle's converter is wrong about it in 30 % of the frames.

        Args:
          rhythm_mel: of the recording whose rhythm counts.
          voiced: where that recording is.
          f0: classes of the recording whose melody counts.

        Returns:
          classes, 0 exactly where not `voiced`.

        Raises:
          BundleError: the bundle has no F0 converter.
        """
        params = self._device_params(("f0_converter",))
        arrays = {"mel": rhythm_mel, "voiced": voiced, "f0": f0}
        return self._in_batches(arrays, lambda batch: self._move_pitch(params, **batch))

    def _in_batches(self, arrays: dict[str, np.ndarray], apply: Any) -> np.ndarray:
        out = []
        for part in batches(len(arrays["mel"])):
            batch = {name: _pad(values[part.first : part.end], part.size) for name, values in arrays.items()}
            out.append(np.asarray(apply(batch))[: part.end - part.first])
        return np.concatenate(out)

    def _device_params(self, names: tuple[str, ...]) -> dict[str, Any]:
        for name in names:
            if name not in self._params:
                self._params[name] = jax.device_put(self._bundle.network(name).params)
        return {name: self._params[name] for name in names}

    def _trace_conversion(
        self, params: dict[str, Any], inputs: dict[str, Array], *, emotional: bool
    ) -> Float[Array, "B T F"]:
        autoencoder = self._bundle.network("speechsplit").network
        codes = autoencoder.apply(
            params["speechsplit"], inputs["mel"], inputs["f0"], rhythm_mel=inputs["rhythm_mel"], method="encode"
        )
        if emotional:
            generator = self._bundle.network("codegan").network
            source = select_codes(codes, self._bundle.code)
            strength = inputs["strength"][:, None, None]
            moved = source + strength * (generator.apply(params["codegan"], source, inputs["emotion"]) - source)
            codes = replace_codes(codes, self._bundle.code, jnp.where(strength == 0, source, moved))
        codes = scale_pitch(codes, inputs["pitch_gain"])
        return autoencoder.apply(params["speechsplit"], codes, inputs["embedding"], method="decode")

    def _trace_pitch(
        self,
        params: dict[str, Any],
        mel: Float[Array, "B T F"],
        voiced: Bool[Array, "B T"],
        f0: Int[Array, "B T"],
    ) -> Int[Array, "B T"]:
        logits = self._bundle.network("f0_converter").network.apply(params["f0_converter"], mel, f0)
        return jnp.where(voiced, 1 + logits[..., 1:].argmax(-1), 0).astype(jnp.int32)


@dataclass(frozen=True)
class Batch:
    """Windows [first, end) of a sequence, to be padded to `size`."""

    first: int
    end: int
    size: int


def batches(count: int) -> Iterator[Batch]:
    """Divides so many windows among batches of the compiled sizes."""
    first = 0
    while first < count:
        left = count - first
        size = next((size for size in BATCH_SIZES if size >= left), BATCH_SIZES[-1])
        yield Batch(first, min(count, first + size), size)
        first += size


def _pad(x: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([x, np.zeros((size - len(x), *x.shape[1:]), x.dtype)])
