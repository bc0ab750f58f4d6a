"""What a request passes through before its route, one noun a file; the order is in `api.app`."""
