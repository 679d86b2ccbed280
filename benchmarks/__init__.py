"""Benchmarks: each prints one table, rivals side by side in one run."""
