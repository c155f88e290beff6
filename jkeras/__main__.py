"""`python -m jkeras script.py`: runs a script for which `keras` is jkeras."""

from jkeras.as_keras.running import main

if __name__ == "__main__":
    main()
