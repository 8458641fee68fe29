"""Strongroom in the place of the OpenHands agent-server. `openhands` stays a namespace that others share."""
