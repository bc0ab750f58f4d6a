"""HTTP as every service serves it: `server` runs uvicorn, `crowd` bounds all of its `connection`s.

With a `certificate`, a `handshake` comes before each connection.

What the server answers by itself is in `refusal`; `/metrics` is in `exposition`.
"""
