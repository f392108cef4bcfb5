"""Data sets in COCO's format: found, read and checked, and their batches for detection."""
