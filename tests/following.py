"""Trains the engine and the plain NumPy network of reference.py side by side, and compares everything they make."""

import numpy as np
import pytest

import gradiometer as gm
from comparison import cancellation, check, check_all, disturb_probabilities, noise_of, nudged, nudged_state, on_a_kink
from reference_training import activation_fields, gradient_fields, norm

DIVERGED = 1e4  # a drawn learning rate may be too large for the drawn network; a few steps later all is


def check_backward_pass(net, trainer, truth, twins, before):
    """Gradients and recorded fields of the last step; truth and twins are networks of the reference."""
    dtype, recording, gradients = twins[0].dtype, trainer.recording, net.gradients()
    floors = cancellation(truth, twins)
    others = [twin.named("gradients") for twin in twins]
    check_all("gradient", gradients, truth.named("gradients"), others, dtype, floors)
    for number, (name, dense, activation) in enumerate(truth.dense_layers()):
        key = recording.layer_names[number]
        assert key == f"{name}.weight"
        # The gradients are right; so these fields are if they are the statistics of the engine's own arrays.
        # They are summed in float64: that must be so in any dtype.
        own = gradient_fields(gradients[key]) | {"weight_norm": norm([before[key]])}
        for field, expected in own.items():
            recorded = getattr(recording, field)[-1, number]
            assert recorded == pytest.approx(expected, rel=1e-12, abs=0), f"{field} of {key}"
        # Norms differ by no more than the norm of the difference.
        noise = max(norm([twin.leaves()[name].dout - dense.dout.astype(np.float64)]) for twin in twins)
        floor = floors[f"{name}.delta"] * np.sqrt(dense.dout.size)
        recorded = recording.delta_norm[-1, number]
        check(f"delta_norm of {key}", recorded, norm([dense.dout]), noise, dtype, floor=floor)
        others = [twin.dense_layers()[number][1:] for twin in twins]
        check_activation(recording, number, (dense, activation), others)


def check_activation(recording, number, truth, twins):
    """The fields of the output of a dense layer's activation; truth and twins are (dense, activation)."""
    dtype = twins[0][0].out.dtype
    pairs = (truth, *twins)
    out, *others = [dense.out if activation is None else activation.out for dense, activation in pairs]
    fields = activation_fields(*truth)
    scale = np.hypot(fields["activation_mean"], fields["activation_std"])
    # Means and deviations differ by no more than the root mean square of the difference.
    noise = max(norm([other - out.astype(np.float64)]) for other in others) / np.sqrt(out.size)
    for name in ("activation_mean", "activation_std"):
        check(name, getattr(recording, name)[-1, number], fields[name], noise, dtype, scale)
    # A slope may underflow or be rounded to zero. That of GELU by tanh is 105 units where 1 + tanh is half of one.
    rounded = 128 * np.finfo(dtype).eps
    low, high = fields["dead_fraction"], activation_fields(*truth, zero=rounded)["dead_fraction"]
    assert low - 1e-12 <= recording.dead_fraction[-1, number] <= high + 1e-12, number
    # An entry may be so close to 5 % of the largest slope that rounding decides: the share is between two.
    margin = 1e-8 if dtype == np.float64 else 1e-3
    low, high = (activation_fields(*truth, 0.05 * (1 + sign * margin))["saturation"] for sign in (-1, 1))
    assert low - 1e-12 <= recording.saturation[-1, number] <= high + 1e-12, number


def follow_in_float64(scenario):
    """Train the engine and the reference side by side and compare everything after every step.

    Returns the number of steps compared: it ends early if rounding decides on which side of a kink an
    entry is.
    """
    gm.set_num_threads(scenario.threads)
    rng = np.random.default_rng(scenario.seed)
    net = scenario.engine_network("float64")
    trainer = scenario.engine_trainer(net)
    truth, *twins = runs = [scenario.reference_trainer(np.float64) for _ in range(3)]
    state = scenario.state()
    net.load_state_dict(state)
    truth.net.load_state_dict(state)
    for twin in twins:
        twin.net.load_state_dict(nudged_state(state, np.float64, rng))
        disturb_probabilities(twin, rng)
    for step in range(scenario.steps):
        x, y, weights = scenario.data(step, np.float64)
        before = net.state_dict()
        loss = trainer.step(x, y, weights)
        truth.step(x, y, weights)
        for twin in twins:
            twin.step(nudged(x, np.float64, rng), y, weights)
        if on_a_kink(truth.net, [twin.net for twin in twins]):
            return step
        assert trainer.recording.loss[-1] == loss
        check_backward_pass(net, trainer, truth.net, [twin.net for twin in twins], before)
        for name in ("loss", "total_norm", "clip_coefficient", "lr", "update_norm"):
            expected, *others = [run.fields[name] for run in runs]
            scale = max(1.0, expected) if name == "loss" else None
            floor = rounding_of_weights(before) if name == "update_norm" else 0.0
            noise = noise_of(expected, others)
            check(name, getattr(trainer.recording, name)[-1], expected, noise, np.float64, scale, floor)
        check_all("state", net.state_dict(), *split(run.net.state_dict() for run in runs), np.float64)
        if loss > DIVERGED:
            return step + 1
    x, y, weights = scenario.data(scenario.steps, np.float64)
    outputs = [run.net.forward(x) for run in runs]
    noise = noise_of(outputs[0], outputs[1:])
    check("forward", net.forward(x), outputs[0], noise, np.float64)
    check("predict", net.predict(x, batch_size=7), outputs[0], noise, np.float64)
    return scenario.steps


def rounding_of_weights(state):
    """What the rounding of new weights may do to the norm of their change."""
    eps = np.finfo(np.float64).eps
    return max(2 * eps * norm([value]) for key, value in state.items() if key.endswith("weight"))


def split(runs):
    """First and rest, as check_all takes them."""
    truth, *twins = runs
    return truth, twins


def follow_in_float32(scenario):
    """Each step on its own, from the engine's weights: float32 trajectories of any two programs part.

    The gradients are held against the float64 reference. The update is held apart from them: the float64
    optimizer is given the engine's gradients (Adam divides a gradient by its own size, so where a
    gradient is rounding alone, the update would be noise of full size). Returns the number of steps in
    which the gradients were compared: not those in which an entry is on a kink.
    """
    compared = 0
    gm.set_num_threads(scenario.threads)
    rng = np.random.default_rng(scenario.seed)
    net = scenario.engine_network("float32")
    trainer = scenario.engine_trainer(net)
    truth = scenario.reference_trainer(np.float64)
    twins = [scenario.reference_trainer(np.float32) for _ in range(2)]
    for twin in twins:
        disturb_probabilities(twin, rng)
    net.load_state_dict({key: value.astype(net_dtype(value)) for key, value in scenario.state().items()})
    for step in range(scenario.steps):
        before = net.state_dict()
        x, y, weights = scenario.data(step, np.float32)
        loss = trainer.step(x, y, weights)
        truth.net.load_state_dict(before)
        losses = [truth.gradients(x, y, weights)]
        for twin in twins:
            twin.steps_done = step
            twin.net.load_state_dict(nudged_state(before, np.float32, rng))
            losses.append(twin.gradients(nudged(x, np.float32, rng), y, weights))
        gradients = net.gradients()
        if not on_a_kink(truth.net, [twin.net for twin in twins]):
            compared += 1
            noise = noise_of(losses[0], losses[1:])
            check("loss", loss, losses[0], noise, np.float32, scale=max(1.0, losses[0]))
            check_backward_pass(net, trainer, truth.net, [twin.net for twin in twins], before)
            buffers = [run.net.named("buffers") for run in (truth, *twins)]
            after = net.state_dict()
            check_all("buffer", {key: after[key] for key in buffers[0]}, *split(buffers), np.float32)
        check_update(net, trainer, (truth, *twins), before, gradients)
        if loss > DIVERGED:
            break
    return compared


def net_dtype(value):
    return np.int64 if value.dtype == np.int64 else np.float32


def check_update(net, trainer, runs, before, gradients):
    """Clipping and optimizer of one step, given the engine's gradients."""
    rng = np.random.default_rng(0)
    fields, changes = [], []
    for run in runs:
        run.net.load_state_dict(before)
        given_gradients = {key: gradient.astype(run.net.dtype) for key, gradient in gradients.items()}
        if run.net.dtype == np.float32:  # a twin
            given_gradients = {
                key: nudged(gradient, np.float32, rng).astype(np.float32) for key, gradient in given_gradients.items()
            }
        fields.append(run.apply(given_gradients))
        changes.append({k: w.astype(np.float64) - before[k] for k, w in run.net.named("parameters").items()})
    for name, value in fields[0].items():
        others = [other[name] for other in fields[1:]]
        check(name, getattr(trainer.recording, name)[-1], value, noise_of(value, others), np.float32)
    after = net.state_dict()
    layer_names = trainer.recording.layer_names
    for key, change in changes[0].items():
        others = [other[key] for other in changes[1:]]
        actual, noise = after[key].astype(np.float64) - before[key], noise_of(change, others)
        rounding = np.finfo(np.float32).eps * np.abs(after[key]).max()
        check(f"update of {key}", actual, change, noise, np.float32, floor=2 * rounding)
        if key in layer_names:
            recorded = trainer.recording.update_norm[-1, layer_names.index(key)]
            floor = rounding * np.sqrt(change.size)
            noise = max(norm([other - change]) for other in others)
            check(f"update_norm of {key}", recorded, norm([change]), noise, np.float32, floor=floor)
