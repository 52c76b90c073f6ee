"""What all commands share: what is asked of their flags before they start, and how they end when they are interrupted."""
import sys

from absl import app, flags, logging

from oasis_jax.files import print_all_names
from oasis_jax.interrupts import ending_soon


def run(main, name, needed=(), parse=app.parse_flags_with_usage):
    """Runs a command, and exits. What is wrong with the command line is told in one line, without a traceback; so is Ctrl-C.

    Args:
        main: (positional arguments) -> None; it gets none.
        name: of the command, which begins its messages.
        needed: names of the flags that must be given.
        parse: the flags_parser of `app.run`.
    """

    def checked(argv):
        rest = parse(argv)
        if faults := list(_faults(rest[1:], needed)):
            sys.exit(f"{name}: {'; '.join(faults)}")
        logging.set_verbosity(logging.WARNING)
        print_all_names()
        return rest

    def interruptible(rest):
        with ending_soon(name):
            main(rest)

    app.run(interruptible, flags_parser=checked)


def _faults(positional, needed):
    """What is wrong with the flags, as sentences."""
    if positional:
        meant = "".join(f"; did you mean --{arg}?" for arg in positional[:1] if arg.split("=")[0].split(".")[0] in flags.FLAGS)
        yield f"unknown arguments {positional}: options are written --name=value{meant}"
    for name in flags.FLAGS:
        flag = flags.FLAGS[name]
        if flag.present and flag.value == "" and flag.default is None:
            yield f"--{name} is empty: give a value ({_first_sentence(flag)})"
    for name in needed:
        if flags.FLAGS[name].value is None:
            yield f"give --{name}=... ({_first_sentence(flags.FLAGS[name])})"


def _first_sentence(flag):
    return flag.help.split(". ")[0].rstrip(".")
