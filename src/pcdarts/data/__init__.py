"""Images as data: data sets by name, their splits, random streams, and batches made on the device."""
