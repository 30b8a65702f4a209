import weakref

import pytest
import torch

from hpo.training.batches import BatchLoader, Loaders, TrainingData
from hpo.training.targets import IDENTITY
from tests.support.training import DEVICES, toy_data, toy_folds

CPU = torch.device("cpu")
CUDA = torch.device("cuda", 0)
ROW_BYTES = 5 * 4


def epoch(
    loader: BatchLoader, *, seed: int = 0, number: int = 0, batch_size: int = 64
) -> list[torch.Tensor]:
    """Inputs and targets of each batch, side by side, on the host."""
    return [
        torch.cat([batch.x, batch.y[:, None]], dim=1).cpu()
        for batch in loader.batches(seed, number, batch_size)
    ]


def test_an_epoch_holds_every_row_once_and_its_last_batch_is_smaller():
    data = toy_data(n_rows=300)
    batches = epoch(BatchLoader(data, CPU))
    assert [len(batch) for batch in batches] == [64, 64, 64, 64, 44]
    standardised = ((data.y_train - data.scale().mean) / data.scale().std).float()
    rows = torch.cat([data.x_train, standardised[:, None]], dim=1)
    assert sorted(torch.cat(batches).tolist()) == sorted(rows.tolist())


def test_a_device_may_be_named_with_its_index_or_without():
    """What is moved to `cuda` is on `cuda:0`; what is moved to `cpu:0`, on `cpu`."""
    assert torch.device("cpu", 0) != torch.zeros(0, device=torch.device("cpu", 0)).device
    assert len(epoch(BatchLoader(toy_data(), torch.device("cpu", 0)))) == 5


def test_runs_share_a_loader_and_the_latest_stays():
    loaders, data, others = Loaders(CPU), toy_data(), toy_data()
    (in_use,) = loaders.of(data)
    latest = weakref.ref(*loaders.of(others))
    assert latest() is not None
    assert loaders.of(data) == [in_use]
    assert latest() is None
    latest = weakref.ref(in_use)
    del in_use
    assert latest() is not None
    loaders.forget()
    assert latest() is None


def test_data_that_are_streamed_become_resident_once_they_must(monkeypatch):
    monkeypatch.setattr("hpo.training.batches._free_bytes", lambda device: 0)
    loaders, data = Loaders(torch.device("meta")), toy_data()
    (streamed,) = loaders.of(data)
    assert streamed.x_train.device == CPU
    (resident,) = loaders.of(data, is_resident=True)
    assert resident.x_train.device == torch.device("meta")
    assert loaders.of(data) == [resident]


def test_the_data_of_all_folds_stay():
    loaders, data = Loaders(CPU), toy_folds()
    first = [weakref.ref(loader) for loader in loaders.of(data)]
    assert [loader() for loader in first] == loaders.of(data)
    assert [loader().data for loader in first] == list(data.folds)


def test_the_order_depends_on_seed_and_epoch():
    loader = BatchLoader(toy_data(), CPU)
    first = torch.cat(epoch(loader))
    assert torch.equal(first, torch.cat(epoch(loader)))
    assert not torch.equal(first, torch.cat(epoch(loader, seed=1)))
    assert not torch.equal(first, torch.cat(epoch(loader, number=1)))


@pytest.mark.parametrize("block_bytes", [1, 64 * ROW_BYTES, 200 * ROW_BYTES])
@pytest.mark.parametrize("device", DEVICES)
def test_small_blocks_give_the_same_batches(device, block_bytes):
    data = toy_data(n_rows=1000)
    whole = epoch(BatchLoader(data, device))
    streamed = epoch(BatchLoader(data, device, resident_bytes=0, block_bytes=block_bytes))
    assert len(whole) == len(streamed)
    assert all(torch.equal(a, b) for a, b in zip(whole, streamed, strict=True))


@pytest.mark.parametrize("block_bytes", [1, 64 * ROW_BYTES, 200 * ROW_BYTES, 2**20])
@pytest.mark.parametrize("device", DEVICES)
def test_an_epoch_may_begin_at_any_batch(device, block_bytes):
    loader = BatchLoader(toy_data(n_rows=1000), device, resident_bytes=0, block_bytes=block_bytes)
    whole = epoch(loader)
    for start in range(len(whole) + 1):
        batches = loader.batches(0, 0, 64, start)
        rest = [torch.cat([x, y[:, None]], dim=1).cpu() for x, y, _ in batches]
        assert len(rest) == len(whole) - start
        assert all(torch.equal(a, b) for a, b in zip(rest, whole[start:], strict=True))


def test_a_batch_lies_in_memory_as_it_does_in_a_whole_epoch():
    loader = BatchLoader(toy_data(n_rows=90), CPU)
    places = [x.data_ptr() % 64 for x, *_ in loader.batches(0, 0, 9)]
    assert len(set(places)) > 1
    assert [x.data_ptr() % 64 for x, *_ in loader.batches(0, 0, 9, 3)] == places[3:]


@pytest.mark.parametrize("batch_size", [1, 99, 100, 101, 300, 1000])
def test_batches_are_counted(batch_size):
    data = toy_data(n_rows=300)
    assert data.n_batches(batch_size) == len(list(BatchLoader(data, CPU).batches(0, 0, batch_size)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_data_too_large_for_the_gpu_stay_on_the_host():
    data = toy_data()
    before = torch.cuda.memory_allocated()
    loader = BatchLoader(data, CUDA, resident_bytes=data.n_bytes - 1)
    assert torch.cuda.memory_allocated() - before < data.x_train.nbytes
    assert all(x.device == CUDA for x, *_ in loader.batches(0, 0, 64))
    assert all(x.device == CUDA for x in loader.validation_blocks())


def test_validation_rows_keep_their_order():
    n_rows = 5000
    x_val = torch.arange(n_rows, dtype=torch.float32)[:, None]
    data = TrainingData(
        task="binary",
        n_classes=2,
        x_train=torch.zeros(4, 1),
        y_train=torch.tensor([0.0, 1.0, 0.0, 1.0]),
        x_val=x_val,
        y_val=torch.zeros(n_rows),
    )
    blocks = list(BatchLoader(data, CPU).validation_blocks())
    assert len(blocks) > 1
    assert torch.equal(torch.cat(blocks), x_val)


def test_targets_of_classes_are_left_alone():
    data = toy_data("multiclass")
    (batch,) = BatchLoader(data, CPU).batches(0, 0, 1000)
    assert batch[1].dtype == torch.int64
    assert data.scale() == IDENTITY


def test_targets_are_standardised_before_they_are_made_float32():
    y = 1.7e9 + torch.arange(1000, dtype=torch.float64) / 64  # all one number in float32
    x = torch.zeros(len(y), 1)
    data = TrainingData(task="regression", n_classes=0, x_train=x, y_train=y, x_val=x, y_val=y)
    loader = BatchLoader(data, CPU)
    assert loader.targets("identity").dtype == torch.float32
    expected = (torch.arange(1000.0) - 499.5) / torch.arange(1000.0).std(correction=0)
    torch.testing.assert_close(loader.targets("identity"), expected)
    assert torch.equal(loader.y_val, y)


def test_the_target_s_mean_is_accumulated_in_double_precision():
    y = torch.full((1_000_000,), 16_777_216.0)
    y[::2] += 4
    x = torch.zeros(len(y), 1)
    data = TrainingData(
        task="regression", n_classes=0, x_train=x, y_train=y, x_val=x[:2], y_val=y[:2]
    )
    assert data.scale().mean == 16_777_218.0
    assert data.scale().std == 2.0
