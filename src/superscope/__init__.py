"""superscope."""
