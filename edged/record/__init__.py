"""From a stream address to sealed segments and a journal: the recorder process.

It needs the camera, the network and a disk, and nobody else (I6): not the controller, the database or the broker.
"""
