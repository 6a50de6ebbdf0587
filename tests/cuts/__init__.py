"""Every act that changes a disk is killed between any two of its system calls, and the next start must put it right."""
