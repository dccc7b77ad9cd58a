"""FLOPs counted on jaxprs: analytic counts, XLA's own, and the published sizes of the networks."""

import functools
import math

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from jax.sharding import PartitionSpec as P
from support.tiny_systems import load_config

from benchmarks.fake_data import batch_shapes, system_without_data
from benchmarks.step_costs import count_loop_iterations, count_reduced_bytes
from evc_jax.models.lstm import BiLSTM, lstm_scan
from evc_jax.models.network import Network
from evc_jax.models.speechsplit.config import SpeechSplitConfig
from evc_jax.models.speechsplit.network import ConvBlock
from evc_jax.models.waveglow.config import WaveGlowConfig
from evc_jax.models.waveglow.network import WaveGlow, waveglow_loss
from evc_jax.models.waveglow.synthesis import noise_shapes, synthesize
from evc_jax.training import parallel
from evc_jax.training.flops import count_flops, peak_flops_per_s

CONVOLUTIONS = {
    "same": {},
    "strided": {"window_strides": (2,)},
    "dilated": {"rhs_dilation": (3,)},
    "grouped": {"feature_group_count": 2},
    "transposed": {"lhs_dilation": (4,), "padding": [(4, 3)]},
    "cropped": {"padding": [(-3, -2)]},
    "all at once": {"window_strides": (3,), "rhs_dilation": (2,), "feature_group_count": 4, "padding": [(5, 1)]},
}


class TwoLayers(BiLSTM):
    def __init__(self, config, *, keys):
        super().__init__(6, 4, layers=2, keys=keys)


class Block(ConvBlock):
    def __init__(self, config, *, keys):
        super().__init__(80, 512, config, keys=keys)


def shaped(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def convolution(x, kernel, **settings):
    settings = {"window_strides": (1,), "padding": "SAME", "dimension_numbers": ("NWC", "WIO", "NWC"), **settings}
    return lax.conv_general_dilated(x, kernel, **settings)


def xla_flops(function, *arguments):
    return jax.jit(function).lower(*arguments).compile().cost_analysis()["flops"]


def backward(function, *arguments):
    """Only the gradients by all arguments, for a gradient of ones."""
    out = jax.eval_shape(function, *arguments)

    def gradients(*values):
        return jax.vjp(function, *values)[1](jnp.ones(out.shape, out.dtype))

    return count_flops(gradients, *arguments)


def test_a_linear_layer_and_its_gradients():
    x, kernel = shaped(5, 7, 16), shaped(16, 32)
    forward = 2 * 5 * 7 * 16 * 32
    assert count_flops(jnp.matmul, x, kernel) == forward
    assert backward(jnp.matmul, x, kernel) == 2 * forward


def test_batched_products_count_each_batch():
    product = functools.partial(jnp.einsum, "bij,bjk->bik")
    assert count_flops(product, shaped(3, 4, 5), shaped(3, 5, 6)) == 2 * 3 * 4 * 5 * 6


@pytest.mark.parametrize("settings", CONVOLUTIONS.values(), ids=CONVOLUTIONS.keys())
def test_a_convolution_counts_as_xla_does_but_for_padding_and_its_gradients_twice_that(settings):
    function = functools.partial(convolution, **settings)
    x, kernel = shaped(3, 40, 8), shaped(5, 8 // settings.get("feature_group_count", 1), 16)
    forward = count_flops(function, x, kernel)
    assert forward == pytest.approx(xla_flops(function, x, kernel), rel=0.2)
    assert backward(function, x, kernel) == pytest.approx(2 * forward, rel=0.2)


def test_a_convolution_on_values_alone_counts_every_tap():
    valid = functools.partial(convolution, padding="VALID")
    assert count_flops(valid, shaped(2, 10, 3), shaped(3, 3, 4)) == 2 * 2 * 8 * 3 * 3 * 4
    image = functools.partial(lax.conv, window_strides=(1, 1), padding="VALID")
    assert count_flops(image, shaped(2, 3, 9, 8), shaped(5, 3, 3, 2)) == 2 * 2 * 5 * 3 * (7 * 3) * (7 * 2)


def test_a_transposed_convolution_counts_every_tap_of_every_input():
    transposed = functools.partial(convolution, lhs_dilation=(256,), padding=[(1023, 1023)])
    frames = 10**7
    expected = pytest.approx(2 * frames * 1024 * 80 * 80, rel=1e-5)
    assert count_flops(transposed, shaped(1, frames, 80), shaped(1024, 80, 80)) == expected


def test_control_flow():
    weights = shaped(8, 8)

    def repeated(w):
        return lax.scan(lambda x, _: (x @ w, None), jnp.ones((4, 8)), length=6)[0]

    def branched(w):
        return lax.cond(w[0, 0] > 0, lambda x: x @ w, lambda x: x @ w @ w, jnp.ones((4, 8)))

    def until(w):
        return lax.while_loop(lambda x: x[0, 0] < 1, lambda x: x @ w, jnp.ones((4, 8)))

    one = 2 * 4 * 8 * 8
    assert count_flops(repeated, weights) == 6 * one
    assert count_flops(branched, weights) == 2 * one
    assert count_flops(until, weights) == one
    assert count_flops(jax.jit(jax.checkpoint(repeated)), weights) == 6 * one
    nested = jax.vmap(lambda w: lax.fori_loop(0, 3, lambda _, x: x @ w, jnp.ones((4, 8))))
    assert count_flops(nested, shaped(5, 8, 8)) == 5 * 3 * one
    assert count_flops(lambda a: jnp.linalg.solve(a, jnp.ones(8)), weights) == 0  # its operator is not applied


def test_unused_results_and_element_wise_operations_cost_nothing():
    def function(a, b):
        unused = a @ b
        del unused
        return jnp.tanh(a).sum()

    assert count_flops(function, shaped(8, 8), shaped(8, 8)) == 0


def test_a_custom_gradient_counts_what_it_computes():
    frames, batch, hidden = 20, 3, 8
    arguments = shaped(frames, batch, 4 * hidden), shaped(4 * hidden), shaped(hidden, 4 * hidden)
    forward = 2 * frames * batch * hidden * 4 * hidden
    assert count_flops(lstm_scan, *arguments) == forward
    # Through time as often as forwards; the weights' gradient leaves out the first step, whose state is zero.
    gradient = count_flops(jax.grad(lambda *a: lstm_scan(*a).sum(), (0, 1, 2)), *arguments)
    assert gradient == 2 * forward + forward * (frames - 1) / frames


def test_time_steps_of_a_recurrent_network():
    network = Network(TwoLayers, None)
    params, x = network.shapes(), shaped(3, 20, 6)
    assert count_loop_iterations(network.apply, params, x) == 2 * 2 * 20
    assert count_loop_iterations(jax.grad(lambda p, x: network.apply(p, x).sum()), params, x) == 2 * 2 * 2 * 20

    def outer(w):
        return lax.scan(lambda x, _: (lax.fori_loop(0, 4, lambda _, y: y @ w, x), None), w, length=3)[0]

    assert count_loop_iterations(outer, shaped(2, 2)) == 12


def test_waveglow_at_full_size_uses_every_weight_once_per_group_of_samples():
    network = Network(WaveGlow, WaveGlowConfig())
    config, frames = network.config, 1000
    noise, mel = tuple(shaped(*shape) for shape in noise_shapes(config, 1, frames)), shaped(1, frames, 80)
    weights = jax.eval_shape(lambda params: network.apply(params, method="synthesis_weights"), network.shapes())
    synthesis = functools.partial(synthesize, config=config)
    flops = count_flops(lambda *inputs: synthesis(inputs[0], mel=inputs[1], noise=inputs[2]), weights, mel, noise)
    per_sample = flops / (frames * config.upsample_stride)

    def size(tree):
        return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree) if len(leaf.shape) > 1)

    per_frame = sum(size(coupling.condition) for coupling in weights.couplings)
    # A few taps reach past the ends of the recording.
    assert per_sample == pytest.approx(2 * ((size(weights) - per_frame) / 8 + per_frame / 256), rel=2e-3)
    # The original's: every weight of its convolutions, once per group of samples.
    plain = 2 * size(network.shapes()["couplings"]) / 8
    assert plain == pytest.approx(20.3e6, rel=1e-2) and per_sample < 0.68 * plain


def test_a_training_step_costs_three_forward_passes():
    network = Network(WaveGlow, WaveGlowConfig(flows=2, wn_layers=2))

    def loss(params, audio, mel):
        return waveglow_loss(network.apply(params, audio, mel))

    params, segment = network.shapes(), (shaped(2, 12_000), shaped(2, 47, 80))
    forward = count_flops(loss, params, *segment)
    # Nobody needs the gradients by the audio and the mel-spectrogram.
    assert 2.9 * forward < count_flops(jax.grad(loss), params, *segment) < 3 * forward


@pytest.mark.parametrize("name", ["f0_converter", "voicegan"])
def test_a_mapped_step_counts_one_devices_share(name):
    system = system_without_data(load_config(name, "tiny"))
    batch = batch_shapes(system, 8)
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(system.init, key)
    devices = jax.devices()

    def count(number):
        step = parallel.map_step(system.step, parallel.device_mesh(devices[:number]))
        return count_flops(step, state, batch, key)

    assert count(1) == pytest.approx(8 * count(8), rel=1e-6) and count(1) > 0


def test_a_block_of_speechsplit_costs_what_xla_says():
    """XLA counts element-wise operations too, which are few beside these convolutions."""
    network = Network(Block, SpeechSplitConfig())
    arguments = network.shapes(), shaped(4, 192, 80)
    gradient = jax.grad(lambda params, x: (network.apply(params, x) ** 2).sum())
    assert count_flops(gradient, *arguments) == pytest.approx(xla_flops(gradient, *arguments), rel=0.05)


def test_bytes_that_devices_average():
    mesh = parallel.device_mesh(jax.devices()[:2])

    def step(x, y):
        often = jax.lax.fori_loop(0, 5, lambda _, total: parallel.mean_over_devices(total + x), x)
        return often, parallel.mean_over_devices(y)

    mapped = jax.shard_map(step, mesh=mesh, in_specs=(P(), P()), out_specs=P(), check_vma=False)
    shapes = shaped(10, 3), jax.ShapeDtypeStruct((7,), jnp.bfloat16)
    assert count_reduced_bytes(mapped, *shapes) == 5 * 10 * 3 * 4 + 7 * 2


@pytest.mark.parametrize(
    "kind, bfloat16, float32",
    [
        ("TPU v3", 61.5e12, 61.5e12),
        ("TPU v4", 275e12, 275e12),
        ("TPU v5 lite", 197e12, 197e12),
        ("TPU v5", 459e12, 459e12),
        ("TPU v5p", 459e12, 459e12),
        ("TPU v6 lite", 918e12, 918e12),
        ("TPU7x", 1153.5e12, 1153.5e12),
        ("Tesla V100-SXM2-16GB", 15.7e12, 15.7e12),
        ("Tesla T4", 8.1e12, 8.1e12),
        ("NVIDIA A100-SXM4-80GB", 312e12, 156e12),
        ("NVIDIA L4", 121e12, 60e12),
        ("NVIDIA L40S", 362e12, 183e12),
        ("NVIDIA H100 PCIe", 756e12, 378e12),
        ("NVIDIA H100 80GB HBM3", 989e12, 494.5e12),
        ("NVIDIA H200", 989e12, 494.5e12),
        ("NVIDIA GB200", 2250e12, 1125e12),
    ],
)
def test_published_peaks(kind, bfloat16, float32):
    assert peak_flops_per_s(kind, "bfloat16") == bfloat16
    assert peak_flops_per_s(kind, "float32") == float32
    assert peak_flops_per_s(kind, "float64") is None


@pytest.mark.parametrize("kind", ["cpu", "NVIDIA L40", "NVIDIA GeForce RTX 4090", "NVIDIA A100-SXM4-40GB MIG 1g.5gb"])
def test_no_guess_for_other_devices(kind):
    assert peak_flops_per_s(kind, "float32") is None
