"""The four pictures of a recording, and the Jacobian that tells orthogonal from Gaussian weights."""

import matplotlib
from sklearn.datasets import load_digits

import gradiometer as gm

matplotlib.use("Agg")
from matplotlib import pyplot  # after the choice of how to draw

X, y = load_digits(return_X_y=True)
X = (X - X.mean()) / X.std()

net = gm.mlp(64, 10, depth=30, width=64, activation="tanh", init=gm.init.normal(std=1.3 / 8), seed=0)
trainer = gm.Trainer(net, loss="cross_entropy", optimizer=gm.SGD(lr=0.01, momentum=0.9), clip=gm.ClipNorm(5.0), seed=0)
rec = trainer.fit(X, y, epochs=20, batch_size=128)
print(rec.diagnose())

figure, axes = pyplot.subplots(2, 2, figsize=(13, 9), layout="constrained")
rec.plot("flow", ax=axes[0, 0], theory=True)
rec.plot("heatmap", ax=axes[0, 1])
rec.plot("time", ax=axes[1, 0])
rec.plot("phase", ax=axes[1, 1])
figure.savefig("pictures.png", dpi=110)

ax = None
for name, init in {"orthogonal": gm.init.orthogonal(gain=1.0), "Gaussian": gm.init.normal(std=1 / 8)}.items():
    dense = gm.Dense(64, init=init)
    net = gm.Network(64, [dense, gm.Tanh()] * 30 + [dense], seed=0)
    spectrum = gm.theory.jacobian_spectrum(net, 0.3 * X[:8])
    print(f"{name}: singular values from {spectrum.singular_values.min():.1e} to {spectrum.singular_values.max():.1e}")
    ax = spectrum.plot(ax, f"{name}, 30 layers of tanh, σ_w = 1")
ax.figure.savefig("jacobian.png", dpi=110)
