"""The truth about cells of NAS-Bench-201, all of them trained by its authors: tables of it, and verdicts."""
