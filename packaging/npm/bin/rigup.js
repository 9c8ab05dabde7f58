#!/usr/bin/env node
// Runs the executable of the package for this platform, which npm installed as an optional dependency.
"use strict";

const { spawn } = require("node:child_process");
const { constants } = require("node:os");

const platform = `@rigup/${process.platform}-${process.arch}`;
let executable;
try {
  executable = require.resolve(`${platform}/bin/rigup`);
} catch {
  console.error(`error: the package ${platform} is not installed; rigup runs on Linux and macOS, x64 and arm64, and npm must not omit optional dependencies`);
  process.exit(1);
}

const child = spawn(executable, process.argv.slice(2), { stdio: "inherit" });
// A terminal also sends SIGINT and SIGQUIT to rigup itself.
for (const signal of ["SIGINT", "SIGQUIT"]) process.on(signal, () => {});
for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("error", (error) => {
  console.error(`error: cannot run ${executable}: ${error.message}`);
  process.exit(1);
});
child.on("exit", (code, signal) => process.exit(signal ? 128 + constants.signals[signal] : code));
