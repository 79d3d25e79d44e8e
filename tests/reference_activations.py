"""The activation functions φ and their slopes φ′, each written out as PyTorch defines it.

Every function takes an array z of any shape and returns an array of the same shape and dtype.
`kinks` lists the points where φ′ jumps, and `largest_slope` is the supremum of |φ′|: an entry counts as
saturated where |φ′(z)| is below 5 % of it.
"""

import math

import numpy as np

_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def sigmoid(z):
    # Two equal forms; each is used where its exponential cannot overflow.
    small = np.exp(-np.abs(z))  # e^{-|z|}, at most 1
    return np.where(z >= 0, 1 / (1 + small), small / (1 + small)).astype(z.dtype)


def softplus(z):
    """log(1 + e^z) without overflow."""
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def normal_distribution(z):
    """Φ(z), the probability that a standard normal variable is below z."""
    return (0.5 * _erfc(-z.astype(np.float64) / math.sqrt(2))).astype(z.dtype)


def normal_density(z):
    return np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


class Activation:
    """A layer without parameters: out = φ(z), dz = dout · φ′(z), entry by entry."""

    kinks = ()
    largest_slope = 1.0

    def forward(self, z):
        self.z = z  # (batch, features)
        self.out = self.value(z)
        return self.out

    def backward(self, dout):
        return dout * self.slope(self.z)

    def saturated(self, threshold=0.05):
        """True where the slope is below `threshold` of its largest value."""
        return np.abs(self.slope(self.z)) < threshold * self.largest_slope


class Identity(Activation):
    def value(self, z):
        return z

    def slope(self, z):
        return np.ones_like(z)


class ReLU(Activation):
    kinks = (0.0,)

    def value(self, z):
        return np.maximum(z, 0)

    def slope(self, z):
        return np.where(z > 0, 1, 0).astype(z.dtype)


class LeakyReLU(Activation):
    kinks = (0.0,)

    def __init__(self, negative_slope=0.01):
        self.negative_slope = negative_slope
        self.largest_slope = max(1.0, abs(negative_slope))

    def value(self, z):
        return np.where(z > 0, z, self.negative_slope * z).astype(z.dtype)

    def slope(self, z):
        return np.where(z > 0, 1, self.negative_slope).astype(z.dtype)


class ELU(Activation):
    def __init__(self, alpha=1.0):
        self.alpha = alpha
        self.largest_slope = max(1.0, abs(alpha))
        self.kinks = () if alpha == 1.0 else (0.0,)

    def value(self, z):
        return np.where(z > 0, z, self.alpha * np.expm1(np.minimum(z, 0))).astype(z.dtype)

    def slope(self, z):
        return np.where(z > 0, 1, self.alpha * np.exp(np.minimum(z, 0))).astype(z.dtype)


class SELU(Activation):
    alpha = 1.6732632423543772
    scale = 1.0507009873554805
    kinks = (0.0,)
    largest_slope = scale * alpha  # the limit from the left of 0

    def value(self, z):
        below = self.alpha * np.expm1(np.minimum(z, 0))
        return (self.scale * np.where(z > 0, z, below)).astype(z.dtype)

    def slope(self, z):
        below = self.alpha * np.exp(np.minimum(z, 0))
        return (self.scale * np.where(z > 0, 1, below)).astype(z.dtype)


class GELU(Activation):
    """z Φ(z), or its approximation by a tanh."""

    def __init__(self, approximate="none"):
        self.approximate = approximate
        # φ′ is largest at z = √2 for "none"; at 1.4185 for "tanh".
        self.largest_slope = 1.1289041451851548 if approximate == "none" else 1.1289930686587718

    def inner(self, z):
        return math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)

    def value(self, z):
        if self.approximate == "none":
            return z * normal_distribution(z)
        return 0.5 * z * (1 + np.tanh(self.inner(z)))

    def slope(self, z):
        if self.approximate == "none":
            return normal_distribution(z) + z * normal_density(z)
        t = np.tanh(self.inner(z))
        inner_slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * z**2)
        return 0.5 * (1 + t) + 0.5 * z * (1 - t * t) * inner_slope


class SiLU(Activation):
    largest_slope = 1.0998393201288669  # at z = 2.3993572805154

    def value(self, z):
        return z * sigmoid(z)

    def slope(self, z):
        s = sigmoid(z)
        return s * (1 + z * (1 - s))


class Mish(Activation):
    largest_slope = 1.0884981612517279  # at z = 1.4905711794854285

    def value(self, z):
        return z * np.tanh(softplus(z))

    def slope(self, z):
        t = np.tanh(softplus(z))
        return t + z * (1 - t * t) * sigmoid(z)


class Softplus(Activation):
    """log(1 + e^{βz}) / β, replaced by z where βz is above the threshold."""

    def __init__(self, beta=1.0, threshold=20.0):
        self.beta = beta
        self.threshold = threshold
        self.kinks = (threshold / beta,)

    def value(self, z):
        scaled = self.beta * z
        return np.where(scaled > self.threshold, z, softplus(scaled) / self.beta).astype(z.dtype)

    def slope(self, z):
        return np.where(self.beta * z > self.threshold, 1, sigmoid(self.beta * z)).astype(z.dtype)


class Softsign(Activation):
    def value(self, z):
        return z / (1 + np.abs(z))

    def slope(self, z):
        return 1 / (1 + np.abs(z)) ** 2


class Sigmoid(Activation):
    largest_slope = 0.25

    def value(self, z):
        return sigmoid(z)

    def slope(self, z):
        return sigmoid(z) * sigmoid(-z)


class Tanh(Activation):
    def value(self, z):
        return np.tanh(z)

    def slope(self, z):
        return 1 - np.tanh(z) ** 2


class Hardtanh(Activation):
    def __init__(self, min_val=-1.0, max_val=1.0):
        self.min_val = min_val
        self.max_val = max_val
        self.kinks = (min_val, max_val)

    def value(self, z):
        return np.clip(z, self.min_val, self.max_val)

    def slope(self, z):
        return ((z > self.min_val) & (z < self.max_val)).astype(z.dtype)


class Hardswish(Activation):
    """z · clip(z + 3, 0, 6) / 6."""

    kinks = (-3.0, 3.0)
    largest_slope = 1.5  # the limit from the left of 3

    def value(self, z):
        return z * np.clip(z + 3, 0, 6) / 6

    def slope(self, z):
        return np.where(z <= -3, 0, np.where(z < 3, z / 3 + 0.5, 1)).astype(z.dtype)
