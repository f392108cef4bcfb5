"""Images in files: found in folders or on the Hugging Face Hub, decoded, and streamed by worker processes."""
