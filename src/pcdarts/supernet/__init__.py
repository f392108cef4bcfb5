"""The supernet, a function of the images and the mixture: the reference, the plain path and the native path."""
