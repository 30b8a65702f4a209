import platform

import pytest
import torch

from hpo.training import precision
from hpo.training.precision import describe_environment, resolve_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float64"])
def test_what_is_asked_for_is_taken(name):
    assert resolve_precision(name, 8, CPU) == name


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("float32", torch.float32), ("bfloat16", torch.float32), ("float64", torch.float64)],
)
def test_masters_are_kept_in_float32_at_least(name, dtype):
    assert precision.master_dtype(name) == dtype


@pytest.mark.parametrize(
    ("gain", "width", "expected"),
    [(4.0, 384, "bfloat16"), (4.0, 64, "float32"), (0.4, 384, "float32")],
)
def test_auto_is_bfloat16_where_it_pays(monkeypatch, gain, width, expected):
    monkeypatch.setattr(precision, "_bfloat16_gain", lambda n_threads: gain)
    assert resolve_precision("auto", width, CPU) == expected


def test_the_processor_s_gain_is_measured_once():
    gain = precision._bfloat16_gain(torch.get_num_threads())
    assert 0 < gain < 100
    assert precision._bfloat16_gain(torch.get_num_threads()) == gain


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_auto_on_a_gpu_goes_by_its_capability():
    expected = "bfloat16" if torch.cuda.get_device_capability() >= (8, 0) else "float32"
    assert resolve_precision("auto", 64, torch.device("cuda")) == expected


def test_the_environment_names_what_bits_depend_on():
    environment = describe_environment(CPU, "float32")
    assert environment.torch == torch.__version__
    assert environment.n_threads == torch.get_num_threads()
    assert environment.precision == "float32"
    assert environment.device
    if platform.system() == "Linux" and platform.machine() == "x86_64":
        assert environment.device != "x86_64"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_environment_names_the_gpu():
    environment = describe_environment(torch.device("cuda", 0), "bfloat16")
    assert environment.device == torch.cuda.get_device_name(0)
