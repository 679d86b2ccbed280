"""Atlases: the features of a layer, one by one: what excites each, how often, and what it does."""
