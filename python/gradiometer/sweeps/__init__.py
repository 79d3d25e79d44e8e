"""Sweeps: the same training for every configuration of a grid and every seed, kept in a store that survives a crash.

The modules read in this order: ``grid`` (what the configurations are), ``names`` (networks and trainers from names),
``plan`` (what is the same for all runs), ``run`` (one run), ``store`` (the SQLite file), ``execution`` (all processors,
or a cluster), ``result`` and ``tables`` (what comes out), ``call`` (`gradiometer.sweep` itself). For the command
``gradiometer sweep``: ``file`` (what its file may hold), ``display`` (what is shown), ``commands``.
"""

from gradiometer.sweeps.call import load_sweep, sweep
from gradiometer.sweeps.result import Run, SweepResult
from gradiometer.sweeps.run import Outcome

__all__ = ["Outcome", "Run", "SweepResult", "load_sweep", "sweep"]
