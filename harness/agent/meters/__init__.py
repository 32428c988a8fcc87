"""Meters that are read on the device: a file here is a meter, its name is the `kind` of `[meter]`.

A meter module has `open(options) -> Meter`; a Meter has `read() -> float`, the joules used since some fixed moment or
the watts drawn now, `QUANTITY` saying which ("joules" or "watts"), `resolution` in that unit, and `charging() -> bool`.
"""
