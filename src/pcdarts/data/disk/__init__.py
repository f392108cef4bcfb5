"""Images that are files: found in folders or from the Hugging Face hub, decoded, and streamed in worker processes."""
