"""Images in: data sets by name, splits, random streams, and batches made on the device."""
