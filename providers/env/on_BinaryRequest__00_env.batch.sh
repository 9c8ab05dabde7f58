#!/bin/sh
# env: finds existing programs on PATH (except in LIB_BIN_DIR) or at a given path. It installs nothing, and declines if
# it finds no program.
exec "$RIGUP" hook binary --provider env --batch --or-decline
