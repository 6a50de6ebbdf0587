"""What every station stands on and none of it has heard of a camera: time, tasks, errors, spans, files, logging."""
