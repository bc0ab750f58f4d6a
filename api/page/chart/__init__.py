"""Charts as SVG, made from figures alone. Read `fleet` and `day`, then the parts they draw with."""
