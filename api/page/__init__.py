"""The pages for people: the fleet at a glance, one vehicle's day, the description of the API.

Complete without JavaScript and without a build step. Read `routes`, `day`, `chart`, `words`.
"""
