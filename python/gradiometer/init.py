import numpy as np
InitSpec = object
def resolve(spec, shape, *, activation, seed, layer):
    rng = np.random.default_rng([seed, layer])
    if isinstance(spec, np.ndarray): return spec, np.zeros(shape[0])
    s = {"xavier_normal": (2/(shape[0]+shape[1]))**.5}.get(spec, (2/shape[1])**.5)
    return rng.normal(size=shape)*s, np.zeros(shape[0])
