"""Names to objects and back, and the files they are kept in: strings, dicts and arrays only, no layer."""
