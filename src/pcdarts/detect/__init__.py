"""Object detection (Sec. 4.5): SSD on a derived network or SSDLite on a stock one, trained, measured and drawn."""
