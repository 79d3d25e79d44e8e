"""Settings are values: equal where they say the same, usable as keys, and not to be changed."""

import copy
import pickle
from dataclasses import FrozenInstanceError, fields, replace

import pytest

import gradiometer as gm

SETTINGS = [
    gm.ReLU(), gm.LeakyReLU(0.2), gm.ELU(), gm.SELU(), gm.GELU(), gm.SiLU(), gm.Mish(), gm.Softplus(), gm.Softsign(),
    gm.Sigmoid(), gm.Tanh(), gm.Hardtanh(), gm.Hardswish(), gm.Identity(),
    gm.Dense(3), gm.BatchNorm(), gm.LayerNorm(), gm.Dropout(0.1), gm.Residual([gm.ReLU()]),
    gm.init.uniform(), gm.init.normal(), gm.init.constant(2.0), gm.init.zeros(), gm.init.xavier_normal(),
    gm.init.xavier_uniform(2.0), gm.init.kaiming_normal(), gm.init.kaiming_uniform(mode="fan_out"),
    gm.init.lecun_normal(), gm.init.orthogonal(), gm.init.torch_default(),
    gm.SGD(0.1), gm.Adam(), gm.AdamW(), gm.RMSprop(), gm.ClipNorm(1.0), gm.ClipValue(1.0), gm.ClipAdaptive(),
]  # fmt: skip


def test_all_settings_differ():
    assert len(set(SETTINGS)) == len(SETTINGS)


@pytest.mark.parametrize("setting", SETTINGS, ids=repr)
def test_a_setting_is_a_value(setting):
    for twin in (pickle.loads(pickle.dumps(setting)), copy.deepcopy(setting), replace(setting)):
        assert twin == setting
        assert hash(twin) == hash(setting)
        assert repr(twin) == repr(setting)
    assert repr(setting).startswith(type(setting).__name__ + "(")


@pytest.mark.parametrize("setting", SETTINGS, ids=repr)
def test_a_setting_cannot_be_changed(setting):
    for name in ("something", *(field.name for field in fields(setting))):
        with pytest.raises(FrozenInstanceError):
            setattr(setting, name, 1.0)
        with pytest.raises(FrozenInstanceError):
            delattr(setting, name)
