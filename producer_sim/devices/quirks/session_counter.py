"""Counters that begin at zero with each charge."""

from producer_sim.devices.quirks.device import Register


class SessionCounter(Register):
    """It shows the energy since the last charge began."""

    def shows(self, at: int) -> int:
        charges, energy = self.life.charges, self.life.energy
        begun = charges.begun(at)
        return energy(at) - (energy(charges.begins(begun - 1)) if begun else 0)
