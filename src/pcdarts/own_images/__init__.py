"""A folder of images of one's own, and the way from it to a network to ship."""
