"""How long a network takes for one image: measured through onnxruntime, and predicted from a table of operations."""
