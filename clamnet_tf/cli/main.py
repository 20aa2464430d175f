"""Define the command `clamnet-tf`: a table of commands, each loaded only when it is called."""

import contextlib
import importlib
import os
import traceback

import rich_click as click

from clamnet_tf import __version__
from clamnet_tf.errors import ClamnetError
from clamnet_tf.quiet import VERBOSE_VARIABLE, is_verbose
from clamnet_tf.texts import accept_any_text

# name: (module holding a command of that name, short help)
COMMANDS = {
    "init": ("clamnet_tf.cli.init", "Look at a folder of images; write a recipe that fits."),
    "fit": ("clamnet_tf.cli.fit", "Learn lesion masks from image-level labels."),
    "evaluate": ("clamnet_tf.cli.evaluate", "Evaluate a run against true masks; write metrics and a report."),
    "predict": ("clamnet_tf.cli.predict", "Write masks and overlays for images."),
    "listen": ("clamnet_tf.cli.listen", "Mark studies that scanners or archives send."),
    "export": ("clamnet_tf.cli.export", "Write a model for TensorFlow Serving, LiteRT or ONNX."),
    "study": ("clamnet_tf.cli.study", "Compare many ways of making masks; tables and one page."),
    "folds": ("clamnet_tf.cli.folds", "Cross-validate a recipe: figures, page, averaged model."),
    "compare": ("clamnet_tf.cli.compare", "Compare runs or cross-validations on the same patients."),
    "zoo": ("clamnet_tf.cli.zoo", "List, show, check, publish and pull trained networks."),
    "describe": ("clamnet_tf.cli.describe", "Print a recipe's network level by level, or draw it."),
    "recipe": ("clamnet_tf.cli.recipe", "List, show and check recipes."),
    "data": ("clamnet_tf.cli.data", "Show what a data folder contains; prepare its slices."),
    "data-service": ("clamnet_tf.cli.data_service", "Make training batches for other processes."),
    "doctor": ("clamnet_tf.cli.doctor", "Check this machine: packages, devices, codecs, disk."),
}
SETTINGS = {"help_option_names": ["-h", "--help"], "rich_help_config": {"text_paragraph_linebreaks": "\n\n"}}
INTERRUPTED = 130
#: What the extra [train] of setup.cfg installs, by module.
TRAINING_MODULES = {
    "tensorflow",
    "keras",
    "keras_cv",
    "tensorboard",
    "sklearn",
    "matplotlib",
    "nilearn",
    "h5py",
}


def load(name: str) -> click.Command:
    """Import the command `name` of the table."""
    command = getattr(importlib.import_module(COMMANDS[name][0]), name.replace("-", "_"))
    _accept_verbose(command)
    return command


def _set_verbose(context, parameter, value):
    """Switch tracebacks and TensorFlow's messages on for this process and its children."""
    if value:
        os.environ[VERBOSE_VARIABLE] = "1"


def _verbose_option() -> click.Option:
    """Return the option `-v`."""
    return click.Option(
        ["-v", "--verbose"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_set_verbose,
        help="Show tracebacks and TensorFlow's own messages.",
    )


def _accept_verbose(command) -> None:
    """Accept `-v` after the command's name as well as before it."""
    taken = {text for parameter in command.params for text in parameter.opts}
    if not taken & {"-v", "--verbose"}:
        command.params.append(_verbose_option())
    for child in getattr(command, "commands", {}).values():
        _accept_verbose(child)


class CommandTable(click.RichGroup):
    """Group commands so that help reads the table and commands are imported only when called."""

    def list_commands(self, ctx):
        return list(COMMANDS)

    def get_command(self, ctx, cmd_name):
        """Return a stand-in with the short help, which is enough for this group's own help and for
        completion.
        """
        if cmd_name not in COMMANDS:
            return None
        return click.RichCommand(cmd_name, short_help=COMMANDS[cmd_name][1], help=COMMANDS[cmd_name][1])

    def resolve_command(self, ctx, args):
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and load(command.name), rest

    def make_context(self, *args, **kwargs):
        with plain_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx):
        with plain_errors():
            return super().invoke(ctx)

    def main(self, *args, **kwargs):
        """Run click's own main instead of rich-click's, which prints errors in boxes; any terminal can show
        all texts.
        """
        accept_any_text()
        return click.Group.main(self, *args, **kwargs)


@contextlib.contextmanager
def plain_errors():
    """Turn explained errors into `Error: message` on stderr and an exit code; bugs keep their traceback."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:  # its message is the help
        raise
    except click.UsageError as error:
        fail(f"{error.format_message()}{usage_hint(error.ctx)}", error.exit_code)
    except ClamnetError as error:
        fail(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in TRAINING_MODULES:
            raise
        fail(
            f"this command needs {error.name}, which is not installed: the environment was made for "
            f"prediction alone. Install the rest: pip install 'clamnet-tf[train]'",
            1,
        )
    except BrokenPipeError:
        raise
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), 1)
    except (KeyboardInterrupt, click.Abort):
        if is_verbose():
            traceback.print_exc()
        click.echo("Stopped. The same command goes on where it was, a training with --resume.", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None


def fail(message: str, exit_code: int):
    """Print the message of the current error, with its traceback when -v was given, and exit."""
    if is_verbose():
        traceback.print_exc()
    click.echo(f"Error: {message}", err=True)
    raise click.exceptions.Exit(exit_code) from None


def usage_hint(context) -> str:
    """Return what a usage error adds to its message."""
    return f"\nTry '{context.command_path} --help'." if context else ""


@click.command(cls=CommandTable, context_settings=SETTINGS, params=[_verbose_option()])
@click.version_option(__version__, prog_name="clamnet-tf", message="%(prog)s %(version)s")
def main():
    """Learn lesion masks from image-level labels.

    To begin: "clamnet-tf fit mri_carcinoma" learns on a built-in simulated cohort; add "--data FOLDER" for
    your own images.
    """
    # the networks run on TensorFlow only, whatever ~/.keras/keras.json says
    os.environ["KERAS_BACKEND"] = "tensorflow"
