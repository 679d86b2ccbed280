"""The pictures that most recipes on toy models show, of the first seed of a sweep."""

from collections.abc import Sequence

from superscope.plots import plot_features, plot_gram, plot_history, plot_norms
from superscope.recipes.toy_training import Sweep
from superscope.report import Picture


def features_picture(
    sweep: Sweep, labels: Sequence[str], importance: Sequence[float] | None = None
) -> Picture:
    """Draw the directions of the features; for two hidden dimensions."""
    return Picture(
        plot_features(sweep.W[0], labels, importance),
        "The columns of W, the directions of the features in the plane.",
        f"A panel of lines from the origin for each of {len(labels)} models.",
    )


def gram_picture(sweep: Sweep, labels: Sequence[str]) -> Picture:
    """Draw WᵀW beside the bias."""
    return Picture(
        plot_gram(sweep.W[0], sweep.b[0], labels),
        "WᵀW and the bias b of the same models, features in order.",
        f"A heat map with a column for the bias, for each of {len(labels)} models.",
    )


def norms_picture(sweep: Sweep, labels: Sequence[str]) -> Picture:
    """Draw the norms, coloured by interference."""
    return Picture(
        plot_norms(sweep.W[0], labels),
        "Norms of the features, coloured by interference.",
        f"A bar for each feature, in a panel for each of {len(labels)} models.",
    )


def history_picture(sweep: Sweep, labels: Sequence[str]) -> Picture:
    """Draw the training loss."""
    return Picture(
        plot_history(sweep.history[0], labels, sweep.steps),
        "Training loss of the restart that was kept.",
        f"A curve over training for each of {len(labels)} models.",
    )
