"""Sums over the active latents of a batch, which are all that decode and the gradients need."""
