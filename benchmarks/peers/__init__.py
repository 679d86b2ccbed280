"""Rivals behind one interface: their own trainers, each in a process of the peers' environment."""
