"""Draw the README's figures: ``python docs/figures/draw.py`` (the second one needs SUPERSCOPE_DATA)."""

import os
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

import superscope as ss
from superscope.core.artifacts import write_figure
from superscope.data import load_data
from superscope.plots import plot_features, plot_rank_per_layer

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def pentagon() -> None:
    """Draw five features in two dimensions at six densities."""
    densities = [1.0, 0.55, 0.3, 0.17, 0.1, 0.05]
    toy = ss.toy.train(
        ss.toy.ToyConfig(n_features=5, n_hidden=2, importance=0.9), densities, steps=5_000, restarts=8
    )
    _write("pentagon", plot_features(toy.W, [f"density {p:g}" for p in densities]))


def resnet20(data: Path) -> None:
    """Draw the layers of a ResNet-20 on CIFAR-10."""
    survey = ss.measure(
        f"{ROOT}/examples/resnet20.py:resnet20",
        load_data(f"cifar10:{data}/cifar10", normalize="imagenet"),
        "*conv*",
        weights=data / "weights/resnet20-12fca82f.th",
    )
    _write(
        "resnet20", plot_rank_per_layer(survey.table, ["energy_rank", "entropy_rank", "participation_ratio"])
    )


def _write(name: str, figure: Figure) -> None:
    with mpl.rc_context({"savefig.dpi": 160}):
        write_figure(HERE / f"{name}.png", figure)


if __name__ == "__main__":
    pentagon()
    if folder := os.environ.get("SUPERSCOPE_DATA"):
        resnet20(Path(folder))
