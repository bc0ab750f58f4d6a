"""The attacks, by what they come through; this is their order."""

from tests.attack.attacks import (  # noqa: F401, I001  each registers its attacks, in this order
    heads,
    connections,
    handshakes,
    floods,
    browsers,
    garbage,
    bodies,
    questions,
    registry,
    live,
    members,
    producers,
)
