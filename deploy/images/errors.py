"""The errors of the images.

ImageError                one line for a person, perhaps with a log
├── MissingEngineError    no container engine can be had here, or a part of it is missing
└── CheckError            an image, or what runs from it, is not as it must be
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class ImageError(Exception):
    """The message is one line; the file `log` tells more."""

    def __init__(self, message: str, *, log: Path | None = None) -> None:
        super().__init__(message)
        self.log = log


class MissingEngineError(ImageError):
    """This machine lacks a program that images are made or run with."""


class CheckError(ImageError):
    """An image, or what runs from it, is not as it must be."""
