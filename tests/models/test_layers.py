"""Every building block against PyTorch's, values and gradients, over sizes that the reference does not use."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from evc_jax.models.conv_matmul import ConvTranspose1d
from evc_jax.models.layers import Conv1d, GroupNorm, InstanceNorm, Linear, WeightNormConv1d
from evc_jax.models.lstm import LSTM, BiLSTM
from evc_jax.models.network import KeySequence, Network, uniform
from evc_jax.torch_import import torch_names

torch = pytest.importorskip("torch")

BATCH, FRAMES = 2, 11


def compare(module, theirs, weights, inputs, *, channels_first=True, tolerance=2e-5):
    """Runs both on the same input with the same weights; compares outputs, input and weight gradients."""
    state = {name: value.detach().numpy() for name, value in theirs.state_dict().items()}
    graph, _ = nnx.split(module, nnx.Param)
    # PyTorch names the tensors of a bare module without a prefix.
    weights = [torch_names.Weight(w.path, w.name.removeprefix("."), w.layout) for w in weights]
    params = jax.tree.map(jnp.asarray, torch_names.from_torch(state, weights))
    x = np.random.default_rng(0).standard_normal((BATCH, FRAMES, inputs)).astype(np.float32)

    def turned(tensor):
        return tensor.transpose(1, 2) if channels_first else tensor

    torch_x = torch.tensor(x, requires_grad=True)
    expected = theirs(turned(torch_x))
    expected = turned(expected[0] if isinstance(expected, tuple) else expected)
    cotangent = np.random.default_rng(1).standard_normal(tuple(expected.shape)).astype(np.float32)
    expected.backward(torch.tensor(cotangent))

    @jax.jit
    def run(p, v, c):
        output, pullback = jax.vjp(lambda p, v: nnx.merge(graph, p)(v), p, v)
        return output, *pullback(c)

    output, param_grads, x_grad = run(params, x, cotangent)
    np.testing.assert_allclose(output, expected.detach().numpy(), atol=tolerance)
    np.testing.assert_allclose(x_grad, torch_x.grad.numpy(), atol=tolerance)
    for name, gradient in torch_names.to_torch(param_grads, weights).items():
        theirs_grad = dict(theirs.named_parameters())[name].grad.numpy()
        np.testing.assert_allclose(gradient, theirs_grad, atol=10 * tolerance, err_msg=name)


@pytest.mark.parametrize(("hidden", "layers", "bidirectional"), [(1, 1, True), (5, 3, True), (5, 2, False)])
def test_lstm(hidden, layers, bidirectional):
    theirs = torch.nn.LSTM(4, hidden, layers, batch_first=True, bidirectional=bidirectional)
    ours = (BiLSTM if bidirectional else LSTM)(4, hidden, layers=layers, keys=KeySequence(0))
    list_weights = torch_names.bilstm_weights if bidirectional else torch_names.lstm_weights
    compare(ours, theirs, list_weights((), "", layers), 4, channels_first=False)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation", "groups"), [(5, 1, 2, 1, 1), (4, 2, 1, 1, 2), (3, 1, 4, 4, 1)]
)
def test_conv(kernel, stride, padding, dilation, groups):
    theirs = torch.nn.Conv1d(6, 4, kernel, stride, padding, dilation, groups)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    compare(Conv1d(6, 4, kernel, keys=KeySequence(0), **options), theirs, torch_names.conv_weights((), ""), 6)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(4, 2, 1), (16, 4, 0), (7, 3, 2), (2, 2, 0), (3, 5, 0), (1, 1, 0)]
)
def test_conv_transpose(kernel, stride, padding):
    theirs = torch.nn.ConvTranspose1d(3, 5, kernel, stride, padding)
    ours = ConvTranspose1d(3, 5, kernel, stride=stride, padding=padding, keys=KeySequence(0))
    compare(ours, theirs, torch_names.conv_weights((), "", torch_names.CONV_TRANSPOSE), 3)


@pytest.mark.parametrize("groups", [1, 3, 12])
def test_group_norm(groups):
    theirs = torch.nn.GroupNorm(groups, 12)
    torch.nn.init.normal_(theirs.weight)
    compare(GroupNorm(12, groups), theirs, torch_names.norm_weights((), ""), 12)


def test_instance_norm():
    theirs = torch.nn.InstanceNorm1d(5, affine=True)
    torch.nn.init.normal_(theirs.weight)
    compare(InstanceNorm(5), theirs, torch_names.norm_weights((), ""), 5)


def test_linear():
    weights = torch_names.linear_weights((), "")
    compare(Linear(4, 7, keys=KeySequence(0)), torch.nn.Linear(4, 7), weights, 4, channels_first=False)


def test_weight_norm():
    theirs = torch.nn.Conv1d(4, 6, 3, padding=2, dilation=2)
    weight = theirs.weight.detach().numpy()
    module = WeightNormConv1d(4, 6, 3, dilation=2, keys=KeySequence(0))
    norm = np.sqrt((weight**2).sum(axis=(1, 2)))
    params = {
        "direction": jnp.asarray(weight.transpose(2, 1, 0) * 3.0),  # its length must not matter
        "scale": jnp.asarray(norm),
        "bias": jnp.asarray(theirs.bias.detach().numpy()),
    }
    x = np.random.default_rng(0).standard_normal((BATCH, FRAMES, 4)).astype(np.float32)
    output = nnx.merge(nnx.split(module, nnx.Param)[0], params)(jnp.asarray(x))
    expected = theirs(torch.tensor(x).transpose(1, 2)).transpose(1, 2).detach().numpy()
    np.testing.assert_allclose(output, expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(7,), (3, 5, 11), (300, 700)])
def test_parameters_are_jaxs_uniform_numbers(shape):
    key = jax.random.fold_in(jax.random.key(4), 1)
    keys = KeySequence(4)
    next(keys)
    drawn = uniform(keys, shape, 0.25)[...]
    np.testing.assert_array_equal(drawn, jax.random.uniform(key, shape, minval=-0.25, maxval=0.25))
    traced = jax.jit(lambda key: uniform(KeySequence(key), shape, 0.25)[...])
    np.testing.assert_array_equal(traced(jax.random.key(4)), uniform(KeySequence(4), shape, 0.25)[...])


class Tiny(nnx.Module):
    """A network of a single layer."""

    def __init__(self, config, *, keys):
        self.layer = Linear(config, 3, keys=keys)

    def __call__(self, x):
        return self.layer(x)


class TestNetwork:
    network = Network(Tiny, 2)

    def test_shapes_are_those_of_the_initial_parameters(self):
        params = self.network.init(jax.random.key(0))
        shapes = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), self.network.shapes())
        assert shapes == jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), params)
        assert self.network.count() == 9

    def test_keys_decide_the_parameters(self):
        first, again, other = (self.network.init(jax.random.key(seed)) for seed in (0, 0, 1))
        np.testing.assert_array_equal(first["layer"]["kernel"], again["layer"]["kernel"])
        assert np.abs(first["layer"]["kernel"] - other["layer"]["kernel"]).max() > 0.01

    def test_apply_takes_numpy_and_leaves_parameters_alone(self):
        params = jax.tree.map(np.asarray, self.network.init(jax.random.key(0)))
        before = jax.tree.map(np.copy, params)
        x = np.ones((1, 2), np.float32)
        expected = x @ params["layer"]["kernel"] + params["layer"]["bias"]
        np.testing.assert_allclose(self.network.apply(params, x), expected, rtol=1e-6)
        jax.tree.map(np.testing.assert_array_equal, params, before)
