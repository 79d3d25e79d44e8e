"""Everything that the file of ``gradiometer sweep`` can have wrong: refused before any run."""

import pytest

from gradiometer.sweeps import call
from sweep_command import FILE, change, invoke, written


@pytest.fixture
def file(tmp_path):
    return written(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[network]", "[network", "sweep.toml is not a TOML file: "),
        ("[network]", "[net]", "sweep.toml has the unknown section 'net'; known: data, grid, network, output, train"),
        ("[data]", "data = 3\n[output]", "sweep.toml: [data] must be a section of keys and values, not 3"),
        ("width = 8", "width = 8\nsize = 3", "sweep.toml: [network] has the unknown key 'size'; known: activation, "),
        ("width = 8", "lr = 8", "sweep.toml: [network] has the unknown key 'lr'"),
        ("lr = 0.1", "learning_rate = 0.1", "sweep.toml: [train] has the unknown key 'learning_rate'"),
        ("lr = 0.1", 'lr = 0.1\nloss = "mse"', "sweep.toml: [train] has the unknown key 'loss'"),
        ("depth = ", "deep = ", "sweep.toml: [grid] has the unknown key 'deep'"),
        ("depth = [1, 3]", "depth = 3", "grid['depth'] must be a list of values, not 3"),
        ("depth = [1, 3]", "steps = [1, 3]", "sweep.toml: [grid] has the unknown key 'steps'"),
        ("depth = [1, 3]", "", "depth is missing"),
        (FILE[FILE.index("[grid]") :], "", "depth is missing"),
        ("[grid]\n", "[other]\n", "unknown section 'other'"),
        ("steps = 4", "", "sweep.toml: [train] must say how many steps: steps = 200"),
        ("steps = 4", 'steps = "4"', "sweep.toml: [train] steps must be an integer, not '4'"),
        ("steps = 4", "steps = 0", "sweep.toml: [train] steps must be at least 1, not 0"),
        ("seeds = 2", "seeds = []", "sweep.toml: [train] seeds must hold at least one seed"),
        ("seeds = 2", 'seeds = "2"', "sweep.toml: [train] seeds must be a number or a list of integers, not '2'"),
        ("batch_size = 16", "batch_size = 1.5", "sweep.toml: [train] batch_size must be an integer, not 1.5"),
        ("batch_size = 16", "shuffle = 1", "sweep.toml: [train] shuffle must be a bool, not 1"),
        ("batch_size = 16", "betas = [0, 0]", "betas is no setting of the optimizer 'sgd'"),
        ("lr = 0.1", "lr = 1979-05-27", "build['lr'] must be a number"),
        ('file = "small.npz"', 'file = "absent.csv"', "absent.csv does not exist"),
        ('file = "small.npz"', "file = 3", "sweep.toml: file must be a str, not 3"),
        ('file = "small.npz"', 'path = "small.npz"', "sweep.toml: [data] has the unknown key 'path'"),
        ('file = "small.npz"', 'target = "y"', "[data] target names a column of the table in file; there is no file"),
        ("[network]", '[output]\ntable = "runs.txt"\n[network]', "must end with .csv or .parquet, not '.txt'"),
        ("[network]", '[output]\ntable = "no/runs.csv"\n[network]', "cannot be written: there is no folder"),
        ("[network]", '[output]\nstore = "no/runs.sqlite"\n[network]', "cannot be made: there is no folder"),
    ],
)
def test_files_with_something_wrong(file, monkeypatch, old, new, message):
    monkeypatch.setattr(call, "run_all", lambda *_: pytest.fail("ran all the same"))
    change(file, old, new)
    result = invoke(file)
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert "error: " in result.output
    assert not list(file.parent.glob("*.sqlite"))


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9")
    for path, message in (
        (tmp_path / "absent.toml", "absent.toml does not exist"),
        (tmp_path, "is not a file"),
        (tmp_path / "latin.toml", "latin.toml is not text in UTF-8"),
    ):
        result = invoke(path)
        assert (result.exit_code, message in result.output) == (2, True), result.output


def test_another_sweep_in_the_store(file):
    invoke(file)
    change(file, "steps = 4", "steps = 5")
    result = invoke(file)
    assert result.exit_code == 2
    assert "holds another sweep: steps is 4 there and 5 here. Give each its own store" in result.output
