"""HTTP as every service serves it: `server` runs uvicorn, `crowd` bounds all of its `connection`s.

What the server answers by itself is in `refusal`; `/metrics` is in `exposition`.
"""
