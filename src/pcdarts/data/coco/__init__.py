"""Data sets in COCO's format, checked, and their batches for detection."""
