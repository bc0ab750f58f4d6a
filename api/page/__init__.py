"""The pages for people: the fleet at a glance, one vehicle's day, the description of the API.

Rendered here, charts and all: they are whole without JavaScript, need no build step and load
nothing from another machine. A script of this package renews the figures, where scripts run.
"""
