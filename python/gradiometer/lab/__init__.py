"""The main job: train a sick network and each cure of it, and show what every layer's gradient did.

``gradiometer lab`` on the command line; the modules read in this order: ``data`` (what is learnt),
``experiments`` (which networks), ``training`` (one run), ``terminal`` and ``picture`` (what is shown),
``commands`` (the options).
"""
