"""Published settings, a function each, whose text says whose they are: of searches, trainings and detectors."""
