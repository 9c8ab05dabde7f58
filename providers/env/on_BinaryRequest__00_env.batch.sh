#!/bin/sh
# env: finds programs that are installed already, on PATH without LIB_BIN_DIR or at a given path.
# It installs nothing, and declines if it finds nothing.
exec "$RIGUP" hook binary --provider env --batch --or-decline
