"""Dictionaries: sparse autoencoders that resolve the features of a layer, trained fast and checked against the truth."""
