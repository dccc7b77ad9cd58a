"""LSTMs: every implementation computes the same values and gradients from the same weights."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import rnn

from benchmarks.step_costs import count_loop_iterations
from evc_jax.errors import ConfigError
from evc_jax.models import lstm
from evc_jax.models.lstm import IMPLEMENTATIONS, LSTM, VARIABLE, BiLSTM, chosen_implementation, run_lstm
from evc_jax.models.lstm_cudnn import cudnn_lstm
from evc_jax.models.network import KeySequence

lstm.UNROLL = 1  # compiles twice as fast, and computes the same
BATCH, FRAMES, INPUTS, HIDDEN = 3, 12, 5, 4
FLOAT32 = jnp.dtype("float32")


def cudnn_by_jax(x, h_0, c_0, weights, lengths, *sizes):
    """Replaces cuDNN's call, which has no `vmap`, by the computation that `jax.experimental.rnn` documents."""
    assert "BatchTracer" not in type(x).__name__
    unpacked = rnn.unpack_lstm_weights(weights, *(size for size in sizes if not isinstance(size, float)))
    return rnn.lstm_ref(x, h_0, c_0, *unpacked, lengths, *sizes)


@pytest.fixture
def cudnn(monkeypatch):
    monkeypatch.setattr(rnn, "lstm", cudnn_by_jax)


def some_layers(kind, layers):
    module = kind(INPUTS, HIDDEN, layers=layers, keys=KeySequence(0))
    return [getattr(module, str(index)).weights() for index in range(layers)]


def values_and_gradients(layers, parts, implementation):
    def total(layers, parts):
        hidden = run_lstm(parts, layers, FRAMES, FLOAT32, implementation)
        return jnp.sum(hidden * jnp.cos(jnp.arange(hidden.size)).reshape(hidden.shape)), hidden

    return jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))(layers, parts)


@pytest.mark.parametrize("implementation", ["paired", "cudnn"])
@pytest.mark.parametrize(("kind", "layers"), [(LSTM, 1), (LSTM, 2), (BiLSTM, 1), (BiLSTM, 3)])
def test_others_compute_what_the_scan_computes(kind, layers, implementation, cudnn):
    parts = [jax.random.normal(jax.random.key(1), (BATCH, FRAMES, INPUTS))]
    weights = some_layers(kind, layers)
    got, expected = (values_and_gradients(weights, parts, name) for name in (implementation, "scan"))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), got, expected)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_held_inputs_are_repeated_ones(implementation, cudnn):
    whole = jax.random.normal(jax.random.key(1), (BATCH, FRAMES // 4, 2))
    voice = jax.random.normal(jax.random.key(2), (BATCH, 1, 2))
    frame = jax.random.normal(jax.random.key(3), (BATCH, FRAMES, 1))

    def hold(parts):
        return [jnp.concatenate([jnp.repeat(part, FRAMES // part.shape[1], axis=1) for part in parts], axis=-1)]

    def gradient(prepare):
        def total(layers, parts):
            return jnp.sum(jnp.sin(run_lstm(prepare(parts), layers, FRAMES, FLOAT32, implementation)))

        return jax.jit(jax.grad(total, argnums=(0, 1)))(some_layers(BiLSTM, 2), [whole, voice, frame])

    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), gradient(list), gradient(hold))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_samples_can_be_mapped_one_by_one(implementation, cudnn):
    """As validation does, whose metrics are each sample's own."""
    frames = jax.random.normal(jax.random.key(1), (BATCH, FRAMES, INPUTS))
    layers = some_layers(BiLSTM, 2)

    def run(frames):
        return run_lstm([frames], layers, FRAMES, FLOAT32, implementation)

    mapped = jax.jit(jax.vmap(lambda one: run(one[None])[0]))(frames)
    np.testing.assert_allclose(mapped, run(frames), rtol=1e-5, atol=1e-6)


def test_cudnn_has_no_weights_of_each_sample(cudnn):
    def run(kernel):
        (layer,) = some_layers(LSTM, 1)
        return cudnn_lstm(jnp.zeros((BATCH, FRAMES, INPUTS)), [[layer[0]._replace(hidden_kernel=kernel)]])

    with pytest.raises(NotImplementedError, match="the same weights"):
        jax.vmap(run)(jnp.zeros((2, HIDDEN, 4 * HIDDEN)))


def test_paired_directions_halve_the_cells_that_wait_for_one_another():
    parts = [jnp.zeros((BATCH, FRAMES, INPUTS))]
    layers = some_layers(BiLSTM, 2)

    def run(implementation):
        return lambda parts: run_lstm(parts, layers, FRAMES, FLOAT32, implementation)

    assert [count_loop_iterations(run(name), parts) for name in ("scan", "paired")] == [4 * FRAMES, 2 * FRAMES]


def test_backwards_is_forwards_on_the_reversed_sequence():
    projected = jax.random.normal(jax.random.key(0), (FRAMES, BATCH, 4 * HIDDEN))
    kernel = jax.random.normal(jax.random.key(1), (HIDDEN, 4 * HIDDEN))
    bias = jax.random.normal(jax.random.key(2), (4 * HIDDEN,))
    backwards, pull = jax.vjp(lambda *x: lstm.lstm_scan(*x, True), projected, bias, kernel)
    forwards, pull_forwards = jax.vjp(lstm.lstm_scan, projected[::-1], bias, kernel)
    np.testing.assert_array_equal(backwards, forwards[::-1])
    (x, b, w), (x_forwards, b_forwards, w_forwards) = pull(backwards), pull_forwards(forwards)
    np.testing.assert_allclose(b, b_forwards, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(x, x_forwards[::-1], atol=1e-6)
    np.testing.assert_allclose(w, w_forwards, rtol=1e-4, atol=1e-5)


def test_the_setting(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert chosen_implementation() == "scan"
    monkeypatch.setenv(VARIABLE, "paired")
    assert chosen_implementation() == "paired"
    monkeypatch.setenv(VARIABLE, "fast")
    with pytest.raises(ConfigError, match="EVC_LSTM is 'fast'; expected one of scan, paired, cudnn"):
        chosen_implementation()
    monkeypatch.setenv(VARIABLE, "cudnn")
    monkeypatch.setattr(lstm, "on_cuda", lambda: False)
    with pytest.raises(ConfigError, match="EVC_LSTM is cudnn and JAX runs on cpu; use scan there"):
        chosen_implementation()
