"""A recorder under a long rain of faults: what it holds on to, what it lets go, and whether every instant is explained.

The cameras are the simulators', the faults are drawn from a seed, the recorder runs in a process of its own that tells
once a second what it uses. Afterwards its journal is taken into an index as the controller would, and what the index
says is compared with what the marks in the recorded frames say.
"""
