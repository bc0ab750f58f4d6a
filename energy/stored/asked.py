"""What is asked about a device: its energy in a time."""

from dataclasses import dataclass

from energy.device import Device, Kind


@dataclass(frozen=True, slots=True)
class Asked:
    """A device, and the time start < t <= end (microseconds since 1970) that is asked about."""

    device_id: str
    device: Device
    start: int
    end: int

    @property
    def counts(self) -> bool:
        """Whether the device has ever been a counter."""
        return any(dated.facts.kind is Kind.REGISTER for dated in self.device.dated)

    @property
    def longest_interval_us(self) -> int:
        """The longest interval that the device has ever had."""
        return max(dated.facts.interval_us for dated in self.device.dated)
