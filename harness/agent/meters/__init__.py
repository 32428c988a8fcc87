"""Meters that are read on the device: a file here is a meter, its name is the `kind` of `[meter]`.

A meter module has `QUANTITY` ("joules" or "watts"), a dataclass `Options` and a class `Meter(options)`. A Meter has
`read() -> float`, the joules used since some fixed moment or the watts drawn now, `resolution` in that unit,
`charging() -> bool` and `close()`; when it cannot be read it raises OSError or ValueError, which makes energy absent
with the reason.
"""
