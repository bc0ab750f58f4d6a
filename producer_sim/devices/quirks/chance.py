"""What is drawn for a device: the same for the same seed and names, whatever else is drawn."""

from hashlib import blake2b


def drawn(seed: int, device: int, what: str, lowest: int, highest: int) -> int:
    """Return a whole number, lowest <= n < highest."""
    digest = blake2b(f"{seed}/{device}/{what}".encode(), digest_size=8).digest()
    return lowest + int.from_bytes(digest) % (highest - lowest)
