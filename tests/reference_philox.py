"""Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw (2011), and the dropout mask.

The four 32-bit words of a counter are scrambled in ten rounds under a key of two words. The same counter
and key give the same random words everywhere: a mask depends neither on threads nor on the order of work.
"""

import numpy as np

LOW = np.uint64(0xFFFFFFFF)
MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)


def philox(counter, key):
    """Four arrays of words from four arrays (or numbers) of counter words and two key words."""
    c0, c1, c2, c3 = (np.asarray(word, np.uint64) for word in counter)
    k0, k1 = key
    for _ in range(10):
        product0 = MULTIPLIERS[0] * c0  # 32 bits × 32 bits fit into 64
        product1 = MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (
            (product1 >> np.uint64(32)) ^ c1 ^ np.uint64(k0),
            product1 & LOW,
            (product0 >> np.uint64(32)) ^ c3 ^ np.uint64(k1),
            product0 & LOW,
        )
        k0, k1 = (k0 + KEY_STEPS[0]) % 2**32, (k1 + KEY_STEPS[1]) % 2**32
    return c0, c1, c2, c3


def keep_mask(shape, p, seed, step, layer_index):
    """True where dropout keeps the entry; shape is (rows, columns).

    One counter serves four columns that lie 16 apart: of each 64, columns 0, 16, 32 and 48 share one.
    """
    rows, columns = np.indices(shape)
    counter = (16 * (columns // 64) + columns % 16, rows, np.full(shape, layer_index), np.full(shape, step))
    words = np.stack(philox(counter, (seed % 2**32, seed >> 32)))  # (4, rows, columns)
    word = np.take_along_axis(words, ((columns % 64) // 16)[None], axis=0)[0]
    return word >= np.uint64(int(p * 2**32))
