"""The command, also as `python -m onnxattr`. Its imports take long enough for a Ctrl-C."""

import signal


def main() -> None:
    """Runs the command line and exits."""
    # Until the command line is there to say it better, an interruption ends this without a word.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from onnxattr.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
