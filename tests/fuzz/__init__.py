"""The recorder's pure parts, fed with whatever a camera or a torn disk might hold.

`cores` says what each part must do with any bytes at all; hypothesis asks in the normal suite, atheris in `make fuzz`.
"""
