"""Search methods that draw whole cells over shared weights, a file for each paper, and what they share."""
