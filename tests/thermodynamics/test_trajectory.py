"""Trajectories: entries, why one is missing, and the labelled Dataset."""

import pytest
import torch
import xarray

import infotherm as it
from infotherm.thermodynamics import simulate

TRAP = it.processes.AffineDiffusion([[-1.0]], 2**0.5, lambda t: t[..., None])


@pytest.fixture(scope="module")
def paths():
    return simulate(TRAP, it.Gaussian(0.0, 1.0), 1.0, 50, 10, generator=0, save=3, currents={"way": torch.ones_like})


def test_entries_means_and_repr(paths):
    assert len(paths) == 50 and "by exact: work, heat" in repr(paths)
    mean = paths.mean("work")
    assert mean.units == "energy" and mean.info["n"] == 50 and mean.streams == paths.streams
    assert float(mean) == pytest.approx(paths.work.mean().item())
    assert torch.equal(paths.entry("way"), paths.currents["way"])
    with pytest.raises(ValueError, match="no first_passage: it was not asked for"):
        paths.first_passage  # noqa: B018


def test_the_dataset_is_labelled_and_can_be_saved(paths, tmp_path):
    dataset = paths.to_dataset()
    assert dataset["state"].dims == ("time", "path", "coordinate")
    assert dataset["time"].values.tolist() == [0.0, 0.5, 1.0]
    assert dataset["work"].attrs == {"units": "energy", "long_name": "work done on the system"}
    assert dataset["way"].attrs["long_name"] == "current way"
    assert dataset.attrs["method"] == "exact" and None not in dataset.attrs.values()
    dataset.to_netcdf(tmp_path / "paths.nc", engine="h5netcdf")
    with xarray.open_dataset(tmp_path / "paths.nc", engine="h5netcdf") as loaded:
        assert loaded["heat"].equals(dataset["heat"])
