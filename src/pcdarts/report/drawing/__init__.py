"""The charts of a report, as SVG and HTML."""
