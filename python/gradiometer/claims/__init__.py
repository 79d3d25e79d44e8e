"""The claims of the lecture notes, measured: what holds, what holds only under a condition, what does not.

``gradiometer claims`` on the command line; the modules read in this order: ``outcome`` (measurements, and the rule by
which a verdict follows from them), ``criteria`` (the limits, with their reasons), ``laboratory`` (the experiments that
claims share), ``vanishing``, ``weights``, ``cures`` and ``training`` (the claims), ``catalogue`` (all of them),
``store`` (JSON), ``terminal``, ``page`` and ``pictures`` (what is shown), ``commands`` (the options).
"""
