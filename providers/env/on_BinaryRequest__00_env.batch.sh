#!/bin/sh
# env: finds what is there already, on PATH (LIB_BIN_DIR left out) or at the absolute path asked for.
# Where: nowhere; it installs nothing, and declines where it finds nothing.
exec "$RIGUP" hook binary --provider env --batch --or-decline
