"""What the commands share."""


def command(commands, name, run, summary, description=None):
    """Adds a command to `keras-vit`.

    Args:
        commands: argparse's subparsers.
        name: word that calls it.
        run: function of the parsed options; an int that it returns is the exit code.
        summary: its line in `keras-vit --help`.
        description: what `keras-vit NAME --help` says; None for the summary.

    Returns:
        Its parser, for its arguments.
    """
    parser = commands.add_parser(name, help=summary, description=description or summary)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=run)
    return parser
