"""The networks of a bundle as StableHLO programs with their parameters inside, which JAX runs without this package.

One program serves CPUs, NVIDIA's GPUs and TPUs: what the networks do for one kind of device alone concerns gradients,
but for cuDNN's LSTM, which is not taken here. The number of rows is open, and that of frames where recordings of any
length go through a network.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import export

from evc_jax.features import speaker
from evc_jax.files import atomic_dir
from evc_jax.models import lstm, voice_encoder
from evc_jax.models.network import Network
from evc_jax.models.speechsplit.network import Codes
from evc_jax.models.waveglow.synthesis import noise_shapes, synthesize
from evc_jax.pretrained.bundle import STABLEHLO, Bundle, check_replaceable, load_bundle
from evc_jax.pretrained.checksums import write_checksums
from evc_jax.pretrained.description import DESCRIPTION_FILE

PLATFORMS = ("cpu", "cuda", "tpu")
_PAGE = """\
# Programs of a bundle

Written with JAX {version} by `evc bundle export --format stablehlo`, for {platforms}. The parameters are inside. In the
shapes `b` is the number of rows and `n` counts steps: both are open.

Emotions, in the order of their weights: {emotions}. Licence of the bundle: {licence}.

JAX runs the programs, with flatbuffers beside it (`pip install jax flatbuffers`):

```python
from jax import export

with open("NAME.stablehlo", "rb") as file:
    program = export.deserialize(bytearray(file.read()))
outputs = program.call(**inputs)  # dicts of arrays by the names below
```

{sections}"""


@dataclass(frozen=True)
class Program:
    """A network, or one direction of it, as a function of named arrays.

    Attributes:
      summary: what it does, for the page beside the programs.
      run: takes arrays by name and gives arrays by name.
      inputs: of each array its shape, in which letters are open sizes, and its type.
    """

    summary: str
    run: Callable[..., dict[str, Any]]
    inputs: Mapping[str, tuple[str, Any]]

    def export(self) -> export.Exported:
        """The program for all of `PLATFORMS`."""
        scope = export.SymbolicScope()
        shapes = {name: export.symbolic_shape(shape, scope=scope) for name, (shape, _) in self.inputs.items()}
        specs = {name: jax.ShapeDtypeStruct(shapes[name], dtype) for name, (_, dtype) in self.inputs.items()}
        with _portable_lstm():
            return export.export(jax.jit(self.run), platforms=PLATFORMS)(**specs)


def export_stablehlo(bundle: str | os.PathLike, output: str | os.PathLike) -> Path:
    """Writes every program of a bundle as NAME.stablehlo, with a page that lists what they take and give.

    Args:
      bundle: what `load_bundle` takes.
      output: the directory; a bundle or what was exported there is replaced.

    Raises:
      BundleError: it is no bundle, or `output` is something else than one.
    """
    source, target = load_bundle(bundle), Path(output)
    check_replaceable(target)
    with atomic_dir(target) as folder:
        sections = []
        for name, program in programs_of(source).items():
            exported = program.export()
            (folder / f"{name}{STABLEHLO}").write_bytes(exported.serialize())
            sections.append(_section(name, program, exported))
        (folder / "README.md").write_text(_page(source, sections), encoding="utf-8")
        shutil.copyfile(source.path / DESCRIPTION_FILE, folder / DESCRIPTION_FILE)
        write_checksums(folder)
    return target


def programs_of(bundle: Bundle) -> dict[str, Program]:
    """The programs of the networks that a bundle has, and the voice encoder, by name."""
    programs: dict[str, Program] = {}
    for name, make in _MAKERS.items():
        if bundle.has(name):
            programs |= make(bundle)
    return programs | {"voice_encoder": _voice_encoder()}


def _of_speechsplit(bundle: Bundle) -> dict[str, Program]:
    network, params = _parts(bundle, "speechsplit")
    config, multiple = network.config, network.config.frame_multiple
    frames = f"{multiple}*n"
    codes = {
        name: (f"b, {multiple // encoder.factor}*n, {encoder.code_channels}", jnp.float32)
        for name in ("content", "rhythm", "pitch")
        for encoder in [getattr(config, name)]
    }

    def encode(mel, f0, rhythm_mel):
        return vars(network.apply(params, mel, f0, rhythm_mel=rhythm_mel, method="encode"))

    def decode(content, rhythm, pitch, embedding):
        return {"mel": network.apply(params, Codes(content, rhythm, pitch), embedding, method="decode")}

    mel = (f"b, {frames}, {config.mel_bands}", jnp.float32)
    return {
        "speechsplit_encoder": Program(
            "Log-mel spectrograms in [0, 1] and classes of F0 (0 is unvoiced) to the codes of content, rhythm and "
            "pitch; rhythm_mel is mel, unless the rhythm comes from another recording.",
            encode,
            {"mel": mel, "f0": (f"b, {frames}", jnp.int32), "rhythm_mel": mel},
        ),
        "speechsplit_decoder": Program(
            "Codes and a speaker embedding to a log-mel spectrogram.",
            decode,
            {**codes, "embedding": (f"b, {config.embedding_channels}", jnp.float32)},
        ),
    }


def _of_codegan(bundle: Bundle) -> dict[str, Program]:
    network, params = _parts(bundle, "codegan")
    config = network.config
    frames = f"{2 ** len(config.up_widths)}*n"
    what = " and ".join(bundle.code.split("_"))
    program = Program(
        f"Codes of {what}, side by side, to those with an emotion; emotion has at every step weights that sum to 1.",
        lambda codes, emotion: {"codes": network.apply(params, codes, emotion)},
        {
            "codes": (f"b, {frames}, {config.code_channels}", jnp.float32),
            "emotion": (f"b, {frames}, {config.emotions}", jnp.float32),
        },
    )
    return {"codegan": program}


def _of_f0_converter(bundle: Bundle) -> dict[str, Program]:
    network, params = _parts(bundle, "f0_converter")
    frames = f"{network.config.frame_multiple}*n"
    program = Program(
        "The log-mel spectrogram that gives the rhythm, and classes of F0, to logits of the classes with that rhythm.",
        lambda mel, f0: {"logits": network.apply(params, mel, f0)},
        {"mel": (f"b, {frames}, {network.config.mel_bands}", jnp.float32), "f0": (f"b, {frames}", jnp.int32)},
    )
    return {"f0_converter": program}


def _of_prosody(bundle: Bundle) -> dict[str, Program]:
    network, params = _parts(bundle, "prosody")
    config = network.config
    program = Program(
        "A recording's prosody (features/prosody.py: network_inputs) and the weights of the emotions to the change of "
        "F0 in semitones, of the cepstra in decibels and of the logarithm of duration; the conversion takes the mean "
        "of two runs, one of them with zeros as the summary.",
        lambda track, summary, emotion: {"change": network.apply(params, track, summary, emotion)},
        {
            "track": (f"b, 2*n, {config.track_channels}", jnp.float32),
            "summary": (f"b, {config.summary_channels}", jnp.float32),
            "emotion": (f"b, {config.emotions}", jnp.float32),
        },
    )
    return {"prosody": program}


def _of_timbre_converter(bundle: Bundle) -> dict[str, Program]:
    network, params = _parts(bundle, "timbre_converter")
    config = network.config
    voice = (f"b, {config.embedding_dim}", jnp.float32)
    program = Program(
        "A recording's log-mel spectrogram, its speaker embedding and the wished one, and what is added to the "
        "logarithm of F0, to the change of the spectrum in decibels.",
        lambda mel, source, target, register_shift: {
            "db": network.apply(params, mel, source, target, register_shift).db
        },
        {
            "mel": (f"b, n, {config.mel_bands}", jnp.float32),
            "source": voice,
            "target": voice,
            "register_shift": ("b,", jnp.float32),
        },
    )
    return {"timbre_converter": program}


def _of_voicegan(bundle: Bundle) -> dict[str, Program]:
    network, params = _parts(bundle, "voicegan")
    program = Program(
        "Standard normal noise and a one-hot sex (male, female) to the speaker embedding of nobody.",
        lambda noise, sex: {"embedding": network.apply(params, noise, sex)},
        {
            "noise": (f"b, {network.config.noise_dim}", jnp.float32),
            "sex": (f"b, {network.config.sexes}", jnp.float32),
        },
    )
    return {"voicegan": program}


def _of_waveglow(bundle: Bundle) -> dict[str, Program]:
    network, params = _parts(bundle, "waveglow")
    config = network.config
    # The parameters as synthesis takes them; the inverses of matrices are computed now and not in the program.
    weights = jax.jit(lambda params: network.apply(params, method="synthesis_weights"))(params)
    shapes = noise_shapes(config, 1, config.period_frames)
    noise = {
        f"noise_{number}": (f"b, {groups}*n, {width}", jnp.float32) for number, (_, groups, width) in enumerate(shapes)
    }

    def run(mel, sigma, **noise):
        return {"sound": synthesize(weights, config, mel, tuple(noise[name] for name in sorted(noise)), sigma)}

    made = "sound" if config.prior == "white" else "whitened sound (audio/spectral_shape.py)"
    program = Program(
        f"A log-mel spectrogram and standard normal noise, which is given the deviation sigma, to {made}.",
        run,
        {"mel": (f"b, {config.period_frames}*n, {config.mel_bands}", jnp.float32), "sigma": ("", jnp.float32), **noise},
    )
    return {"waveglow": program}


def _voice_encoder() -> Program:
    network = Network(voice_encoder.VoiceEncoder, voice_encoder.VoiceEncoderConfig())
    params = voice_encoder.load_params(speaker.WEIGHTS)
    return Program(
        f"Power mel-spectrograms of {speaker.PARTIAL_FRAMES} frames of 10 ms (features/speaker.py: partial_mels) to "
        "speaker embeddings; that of a recording is their mean at unit length.",
        lambda mel: {"embedding": network.apply(params, mel)},
        {"mel": (f"b, {speaker.PARTIAL_FRAMES}, {network.config.mel_bands}", jnp.float32)},
    )


_MAKERS: dict[str, Callable[[Bundle], dict[str, Program]]] = {
    "prosody": _of_prosody,
    "timbre_converter": _of_timbre_converter,
    "speechsplit": _of_speechsplit,
    "codegan": _of_codegan,
    "f0_converter": _of_f0_converter,
    "waveglow": _of_waveglow,
    "voicegan": _of_voicegan,
}


def _parts(bundle: Bundle, name: str) -> tuple[Network, Any]:
    trained = bundle.network(name)
    return trained.network, jax.tree.map(jnp.asarray, trained.params)


@contextlib.contextmanager
def _portable_lstm() -> Iterator[None]:
    """Whatever the user has chosen for this machine: cuDNN's LSTM would be for NVIDIA's GPUs alone."""
    before = os.environ.get(lstm.VARIABLE)
    os.environ[lstm.VARIABLE] = "scan"
    try:
        yield
    finally:
        if before is None:
            del os.environ[lstm.VARIABLE]
        else:
            os.environ[lstm.VARIABLE] = before


def _section(name: str, program: Program, exported: export.Exported) -> str:
    """What the page says of a program."""
    _, inputs = jax.tree.unflatten(exported.in_tree, exported.in_avals)
    outputs = jax.tree.unflatten(exported.out_tree, exported.out_avals)
    rows = [
        f"| {kind} | `{key}` | [{', '.join(map(str, shaped.shape))}] | {shaped.dtype} |"
        for kind, arrays in (("takes", inputs), ("gives", outputs))
        for key, shaped in sorted(arrays.items())
    ]
    table = "\n".join(["| | array | shape | type |", "|---|---|---|---|", *rows])
    return f"## {name}{STABLEHLO}\n\n{program.summary}\n\n{table}\n"


def _page(bundle: Bundle, sections: list[str]) -> str:
    licence = bundle.licence or "not known"
    lists = {"platforms": ", ".join(PLATFORMS), "emotions": ", ".join(bundle.emotions), "sections": "\n".join(sections)}
    return _PAGE.format(version=jax.__version__, licence=licence, **lists)
