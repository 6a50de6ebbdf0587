"""Real small ext4 disks under a real box: filled to the last block, read-only, pulled out, swapped."""
