"""The images: build them, run them, say what is in them, and try docker-compose.yml with them."""
