"""From what users pass (arrays, lists, dicts, files, generators) to batches on the device."""
