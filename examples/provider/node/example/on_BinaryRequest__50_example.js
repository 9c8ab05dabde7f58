#!/usr/bin/env node
// example: copies programs from the folder EXAMPLE_SOURCE (see config.json).
// Each requirement has a folder of its own, LIB_DIR/example/<name>.
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const { EXAMPLE_SOURCE, LIB_DIR, RIGUP } = process.env
const args = process.argv.slice(2)
const request = Object.fromEntries(args.map((arg) => /^--([^=]+)=([^]*)$/.exec(arg)?.slice(1)).filter(Boolean))
const allowed = (request.binproviders ?? '*').split(',').map((provider) => provider.trim())
if (!allowed.includes('*') && !allowed.includes('example')) process.exit(10)

const name = path.basename(request.name)
const override = JSON.parse(request.overrides ?? '{}')['example'] ?? name
const [program] = [override.packages ?? override.install_args ?? override].flat()

const source = path.join(EXAMPLE_SOURCE, String(program))
if (path.dirname(source) !== path.normalize(EXAMPLE_SOURCE) || !fs.existsSync(source)) {
  console.error(`${EXAMPLE_SOURCE} does not contain ${program}`)
  process.exit(0)
}

// Copy to a temporary name and rename it, so that the program either is complete or does not exist.
const target = path.join(LIB_DIR, 'example', name, name)
fs.mkdirSync(path.dirname(target), { recursive: true })
fs.copyFileSync(source, `${target}.part`) // your installer goes here
fs.renameSync(`${target}.part`, target)

// Probe the version, compute the digest and print the record.
const binaryArgs = ['--provider', 'example', '--abspath', target, '--', ...args]
process.exit(spawnSync(RIGUP, ['hook', 'binary', ...binaryArgs], { stdio: 'inherit' }).status ?? 1)
