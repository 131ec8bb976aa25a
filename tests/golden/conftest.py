"""The scripts here need the official code and are run by hand: tests do not collect them."""

collect_ignore_glob = ["*.py"]
