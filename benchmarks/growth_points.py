"""Single points of `benchmarks.growth`: seconds, peak memory, FLOPs, and bytes that must be moved.

FLOPs are those of matrix products and convolutions (`evc_jax/training/flops.py`). Of a compiled program must be moved
at least: what it is given, once; what it returns, once; and its workspace, written once and read once.
"""

from __future__ import annotations

import functools
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.harness import Contender, compare
from benchmarks.recordings import speech
from benchmarks.systems import load_config
from evc_jax.audio import io as audio_io
from evc_jax.audio.chunking import WINDOW_FRAMES, plan_chunks, window_starts
from evc_jax.audio.mel import frame_count
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.options import ConversionOptions
from evc_jax.conversion.streaming import BATCH_WINDOWS, convert_file
from evc_jax.jax_cache import enable_cache
from evc_jax.models.network import Network
from evc_jax.models.speechsplit.codes import replace_codes, select_codes
from evc_jax.models.waveglow.config import WaveGlowConfig
from evc_jax.models.waveglow.network import WaveGlow
from evc_jax.models.waveglow.synthesis import draw_noise
from evc_jax.pretrained.bundle import TrainedNetwork, load_bundle
from evc_jax.training import parallel
from evc_jax.training.flops import count_flops
from evc_jax.training.systems.fake_data import synthetic_batch, system_without_data
from evc_jax.vocoders.waveglow import WaveGlowVocoder, compiled_synthesis, synthesis_weights

CLIP_FRAMES = 32  # of synthesis against batch; half a second
RATE_HZ = 16_000
BLOCK_FRAMES = 512
DEVICES_BATCH = 8  # divided among the devices
WARM_UP_S = 60  # nothing is compiled for recordings longer than that
MATRIX_SIDES = {"cpu": (512, 1024, 2048)}
COPIED_BYTES = 2**28
Point = dict[str, Any]


def synthesis_by_batch(name: str, batch: int, seconds: float, quick: bool) -> Point:
    """WaveGlow's program on so many clips at once."""
    enable_cache()
    config = _waveglow_config(name)
    mel = np.random.default_rng(0).random((batch, CLIP_FRAMES, config.mel_bands), np.float32)
    weights = synthesis_weights(_weights(config))
    noise = draw_noise(jax.random.key(1), config, batch, CLIP_FRAMES)
    function, inputs = compiled_synthesis(config), (weights, mel, noise, 0.6)
    compiled = function.lower(*inputs).compile()
    measured = _seconds(lambda: jax.block_until_ready(compiled(*inputs)), seconds, quick)
    return {**measured, **program_cost(compiled, count_flops(function.__wrapped__, *inputs))}


def synthesis_by_length(name: str, length_s: int, seconds: float, quick: bool) -> Point:
    """The vocoder's chunks, of a mel-spectrogram that comes in blocks."""
    enable_cache()
    config = _waveglow_config(name)
    vocoder = WaveGlowVocoder(_weights(config))

    def synthesize(length_s: float) -> None:
        frames = _frames(length_s, config)
        for _ in vocoder.stream(_mel_blocks(frames, config), frames, frames * config.upsample_stride, 0):
            pass

    return {**_once(synthesize, length_s), **_vocoder_work(vocoder, _frames(length_s, config))}


def conversion_by_length(name: str, length_s: int, seconds: float, quick: bool) -> Point:
    """`evc_jax.conversion.streaming.convert_file` with the embedded bundle, to another emotion, file to file."""
    enable_cache()
    converter = Converter(load_bundle())
    rate_hz = converter.sample_rate_hz
    options = ConversionOptions(emotion=converter.emotions[-1], vocoder=name)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out.wav"
        for duration_s in {min(length_s, WARM_UP_S), length_s}:
            audio_io.save(Path(folder) / f"{duration_s}.wav", speech(duration_s, rate_hz), rate_hz)

        def convert(duration_s: int) -> None:
            convert_file(converter, Path(folder) / f"{duration_s}.wav", output, options, progress=False)

        measured = _once(convert, length_s)
    frames = frame_count(length_s * rate_hz, converter.bundle.audio)
    work = _window_work(converter, frames)
    if name == "waveglow":
        spoken = _vocoder_work(converter.requested_vocoder(options), frames)
        work = {key: work[key] + spoken[key] for key in work}
    return {**measured, **work}


def training_by_batch(name: str, batch: int, seconds: float, quick: bool) -> Point:
    """A training step of the `small` config on one device."""
    return _training(name, batch, jax.devices()[:1], seconds, quick)


def training_by_devices(name: str, devices: int, seconds: float, quick: bool) -> Point | None:
    """A training step on one batch divided among devices; None where there are not so many."""
    if devices > jax.device_count():
        return None
    return _training(name, DEVICES_BATCH, jax.devices()[:devices], seconds, quick)


def speeds(quick: bool) -> dict[str, float]:
    """The highest FLOPs per second of a float32 matrix product, and bytes per second read and written by a copy."""
    rounds = 2 if quick else 10
    sides = (256,) if quick else MATRIX_SIDES.get(jax.default_backend(), (4096, 8192))
    product = jax.jit(jnp.matmul)
    flops_per_s = max(2 * side**3 / _fastest(product, jnp.ones((side, side)), rounds) for side in sides)
    array = jnp.zeros(COPIED_BYTES // (16 if quick else 1) // 4)
    increment = jax.jit(lambda x: x + 1, donate_argnums=0)
    copies = []
    for _ in range(rounds):
        start = time.perf_counter()
        array = jax.block_until_ready(increment(array))
        copies.append(time.perf_counter() - start)
    return {"flops_per_s": flops_per_s, "bytes_per_s": 2 * array.nbytes / min(copies)}


def _training(name: str, batch_size: int, devices: list[jax.Device], seconds: float, quick: bool) -> Point:
    enable_cache()
    arguments = Namespace(quick=False, batch=batch_size, dtype="float32")
    config = load_config(name, arguments, "tiny" if quick else "small")
    system, mesh = system_without_data(config), parallel.device_mesh(devices)
    key = parallel.replicate(jax.random.key(0), mesh)
    state = parallel.init_replicated(system.init, key, mesh)
    batch = parallel.shard_batch(synthetic_batch(system, batch_size), mesh)
    step = parallel.map_step(system.step, mesh)
    flops = count_flops(step, state, batch, key)  # of one device
    compiled = step.lower(state, batch, key).compile()

    def call() -> None:
        nonlocal state
        state, _ = jax.block_until_ready(compiled(state, batch, key))

    return {**_seconds(call, seconds, quick), **program_cost(compiled, flops)}


def program_cost(compiled: Any, flops: float) -> Point:
    """What a run of a compiled program costs; memory is one device's."""
    memory = compiled.memory_analysis()
    given, returned = memory.argument_size_in_bytes, memory.output_size_in_bytes
    return {
        "peak_bytes": given + returned - memory.alias_size_in_bytes + memory.temp_size_in_bytes,
        "flops": flops,
        "moved_bytes": given + returned + 2 * memory.temp_size_in_bytes,
    }


def _vocoder_work(vocoder: WaveGlowVocoder, frames: int) -> Point:
    """FLOPs and bytes of all chunks together."""
    config, size = vocoder.config, vocoder.chunk_frames(frames)
    chunks = len(list(plan_chunks(max(frames, size), size, *vocoder.context_frames())))
    shapes = jax.eval_shape(lambda key: draw_noise(key, config, 1, size), jax.random.key(0))
    network = Network(WaveGlow, config)
    weights = jax.eval_shape(lambda params: network.apply(params, method="synthesis_weights"), network.shapes())
    mel = jax.ShapeDtypeStruct((1, size, config.mel_bands), jnp.float32)
    function, inputs = compiled_synthesis(config), (weights, mel, shapes, np.float32(0.6))
    chunk = program_cost(function.lower(*inputs).compile(), count_flops(function.__wrapped__, *inputs))
    return {"flops": chunks * chunk["flops"], "moved_bytes": chunks * chunk["moved_bytes"]}


def _window_work(converter: Converter, frames: int) -> Point:
    """FLOPs and bytes of SpeechSplit and CodeGAN on all windows; the hearing and the rest, on the CPU, are left out."""
    count = len(window_starts(frames))
    bands, classes = converter.bundle.audio.mel_bands, converter.engine.f0_classes
    speechsplit, codegan = (converter.bundle.network(name) for name in ("speechsplit", "codegan"))

    def convert(params, mel, f0, voice, emotion):
        codes = speechsplit.network.apply(params[0], mel, f0, rhythm_mel=mel, method="encode")
        moved = codegan.network.apply(params[1], select_codes(codes, converter.bundle.code), emotion)
        codes = replace_codes(codes, converter.bundle.code, moved)
        return speechsplit.network.apply(params[0], codes, voice, method="decode")

    shapes = [(WINDOW_FRAMES, bands), (WINDOW_FRAMES, classes), (256,), (len(converter.emotions),)]
    inputs = [jax.ShapeDtypeStruct((1, *shape), jnp.float32) for shape in shapes]
    params = speechsplit.params, codegan.params
    weights = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    sound_features = 2 * 4 * WINDOW_FRAMES * bands
    calls = -(-count // BATCH_WINDOWS)
    return {
        "flops": count * count_flops(convert, params, *inputs),
        "moved_bytes": calls * weights + count * sound_features,
    }


def _seconds(call: Callable[[], Any], seconds: float, quick: bool) -> Point:
    timing = compare([Contender("", lambda: call)], 0 if quick else seconds, 1 if quick else 3)[0]
    return {"seconds": timing.median_s}


def _once(work: Callable[[int], None], length_s: int) -> Point:
    """Time after a warm-up, and the most memory that this process ever held, as Linux tells; Python is in it."""
    work(min(length_s, WARM_UP_S))
    start = time.perf_counter()
    work(length_s)
    seconds = time.perf_counter() - start
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {"seconds": seconds, "peak_bytes": 1024 * int(status["VmHWM"].split()[0])}


def _waveglow_config(name: str) -> WaveGlowConfig:
    return WaveGlowConfig(**load_config("waveglow", Namespace(quick=False, batch=1, dtype="float32"), name).model)


@functools.cache
def _weights(config: WaveGlowConfig) -> TrainedNetwork:
    network = Network(WaveGlow, config)
    return TrainedNetwork(network, config, network.init(jax.random.key(0)))


def _frames(length_s: float, config: WaveGlowConfig) -> int:
    return round(length_s * RATE_HZ / config.upsample_stride)


def _mel_blocks(frames: int, config: WaveGlowConfig) -> Iterator[np.ndarray]:
    draw = np.random.default_rng(0)
    for first in range(0, frames, BLOCK_FRAMES):
        yield draw.random((min(BLOCK_FRAMES, frames - first), config.mel_bands), np.float32)


def _fastest(function: Callable, matrix: jax.Array, rounds: int) -> float:
    jax.block_until_ready(function(matrix, matrix))
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        jax.block_until_ready(function(matrix, matrix))
        seconds.append(time.perf_counter() - start)
    return min(seconds)
