"""`python -m clamnet_tf`: the same as the console script `clamnet-tf`."""

from clamnet_tf.cli.main import main

if __name__ == "__main__":
    main(prog_name="clamnet-tf")
