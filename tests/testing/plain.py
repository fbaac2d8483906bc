"""Plain numpy estimators by the textbook, right but without a word on hostile samples; bugs are planted into them."""

import numpy as np
from scipy.special import digamma


def gaussian(x, y, z=None):
    """Information of Gaussian samples from log-determinants."""
    blocks = [x, y] if z is None else [np.hstack([x, z]), np.hstack([y, z]), z]
    joint = np.hstack([x, y] if z is None else [x, y, z])
    signs = [1, 1, -1]
    return 0.5 * (sum(s * logdet(b) for s, b in zip(signs, blocks, strict=False)) - logdet(joint))


def logdet(x):
    """Of the sample covariance, by a triangular factor of the samples: its square root has half the condition."""
    triangle = np.linalg.qr((x - x.mean(0)) / np.sqrt(len(x) - 1), mode="r")
    return 2 * np.log(np.abs(np.diag(triangle))).sum()


def gaussian_entropy(x):
    return 0.5 * (x.shape[1] * np.log(2 * np.pi * np.e) + logdet(x))


def distances(x, y=None):
    """Between all pairs in the maximum norm."""
    y = x if y is None else y
    return np.abs(x[:, None, :] - y[None, :, :]).max(-1)


def ksg(x, y, k=3):
    n = len(x)
    dx, dy = distances(x), distances(y)
    joint = np.maximum(dx, dy)
    radius = np.sort(joint, axis=1)[:, k][:, None]
    counts = [((d < radius).sum(1) - 1).clip(0) for d in (dx, dy)]
    return digamma(k) + digamma(n) - sum(digamma(c + 1) for c in counts).mean()


def kozachenko(x, k=3):
    radius = np.sort(distances(x), axis=1)[:, k]
    return digamma(len(x)) - digamma(k) + x.shape[1] * np.log(2 * radius).mean()


def neighbour_kl(x, y, k=3):
    within = np.sort(distances(x), axis=1)[:, k]
    across = np.sort(distances(x, y), axis=1)[:, k - 1]
    return x.shape[1] * np.log(across / within).mean() + np.log(len(y) / (len(x) - 1))


def counted_information(x, y):
    """Plug-in of discrete samples."""
    return counted_entropy(x) + counted_entropy(y) - counted_entropy(np.hstack([x, y]))


def counted_entropy(x):
    counts = np.unique(x, axis=0, return_counts=True)[1] / len(x)
    return -(counts * np.log(counts)).sum()
