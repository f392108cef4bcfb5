"""Object detection (Sec. 4.5): SSD on a derived network, trained, measured and drawn."""
