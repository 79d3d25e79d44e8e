"""The first script of the README: a net that does not learn, and the recording that says why."""

from sklearn.datasets import load_digits

import gradiometer as gm

X, y = load_digits(return_X_y=True)
X = X / 16
net = gm.mlp(64, 10, depth=20, width=64, activation="sigmoid", init="xavier_normal", seed=0)
trainer = gm.Trainer(net, loss="cross_entropy", optimizer=gm.SGD(lr=0.1, momentum=0.9), record="full", seed=0)
rec = trainer.fit(X, y, epochs=5, batch_size=64)
print(rec)
print(rec.delta_norm[0])  # the signal that travels back, from the input layer to the output layer
print(rec.diagnose())
rec.plot().figure.savefig("first-script.png")
