"""Figures: Matplotlib for print and pages, Plotly (``explore_*``) where people look around.

They take tensors, arrays and tables, never models, and return the figure; nothing is shown or written.
"""

from superscope.plots.attribution import plot_attribution as plot_attribution
from superscope.plots.bars import plot_bars as plot_bars
from superscope.plots.chance import plot_chance as plot_chance
from superscope.plots.comparison import plot_differences as plot_differences
from superscope.plots.comparison import plot_rank_comparison as plot_rank_comparison
from superscope.plots.comparison import plot_runs as plot_runs
from superscope.plots.dictionaries import RecoveryLine as RecoveryLine
from superscope.plots.dictionaries import plot_matches as plot_matches
from superscope.plots.dictionaries import plot_recovery as plot_recovery
from superscope.plots.dynamics import plot_dynamics as plot_dynamics
from superscope.plots.embedding import explore_embedding as explore_embedding
from superscope.plots.embedding import plot_embedding as plot_embedding
from superscope.plots.explore import explore_ranks as explore_ranks
from superscope.plots.explore import explore_spectra as explore_spectra
from superscope.plots.geometry import plot_dimensionality as plot_dimensionality
from superscope.plots.geometry import plot_features as plot_features
from superscope.plots.geometry import plot_gram as plot_gram
from superscope.plots.geometry import plot_norms as plot_norms
from superscope.plots.heatmaps import Heatmap as Heatmap
from superscope.plots.heatmaps import plot_correlation as plot_correlation
from superscope.plots.heatmaps import plot_heatmaps as plot_heatmaps
from superscope.plots.heatmaps import plot_weights as plot_weights
from superscope.plots.history import plot_history as plot_history
from superscope.plots.latents import plot_examples as plot_examples
from superscope.plots.layers import plot_activation_histograms as plot_activation_histograms
from superscope.plots.layers import plot_rank_per_layer as plot_rank_per_layer
from superscope.plots.layers import plot_spectra as plot_spectra
from superscope.plots.neurons import plot_motif as plot_motif
from superscope.plots.neurons import plot_neurons as plot_neurons
from superscope.plots.phases import PhasePanel as PhasePanel
from superscope.plots.phases import plot_phases as plot_phases
from superscope.plots.plane import plot_plane as plot_plane
from superscope.plots.similarity import plot_cosine_histograms as plot_cosine_histograms
from superscope.plots.structure import plot_feature_graph as plot_feature_graph
from superscope.plots.svg import inline_drawing as inline_drawing
from superscope.plots.svg import inline_svg as inline_svg
from superscope.plots.sweeps import plot_relation as plot_relation
from superscope.plots.sweeps import plot_solutions as plot_solutions
from superscope.plots.sweeps import plot_sweep as plot_sweep
from superscope.plots.terms import plot_closed_form as plot_closed_form
from superscope.plots.terms import plot_deviations as plot_deviations
from superscope.plots.terms import plot_terms as plot_terms
