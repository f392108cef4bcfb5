"""Switches that make dense methods robust, each from a paper of its own, around any of these methods."""
