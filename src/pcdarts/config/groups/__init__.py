"""Groups of settings that the configurations of the jobs share, each with its checks."""
