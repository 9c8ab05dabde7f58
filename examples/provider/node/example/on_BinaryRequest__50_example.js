#!/usr/bin/env node
// example: copies programs out of the folder EXAMPLE_SOURCE (see config.json).
// Each requirement has a folder of its own, LIB_DIR/example/<name>.
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const { EXAMPLE_SOURCE, LIB_DIR, RIGUP } = process.env
const given = process.argv.slice(2)
const request = Object.fromEntries(given.map((arg) => /^--([^=]+)=([^]*)$/.exec(arg)?.slice(1)).filter(Boolean))
const allowed = (request.binproviders ?? '*').split(',').map((provider) => provider.trim())
if (!allowed.includes('*') && !allowed.includes('example')) process.exit(10)

const name = path.basename(request.name)
const wanted = JSON.parse(request.overrides ?? '{}')['example'] ?? name
const [wants] = [wanted.packages ?? wanted.install_args ?? wanted].flat()

const source = path.join(EXAMPLE_SOURCE, String(wants))
if (path.dirname(source) !== path.normalize(EXAMPLE_SOURCE) || !fs.existsSync(source)) {
  console.error(`${EXAMPLE_SOURCE} does not hold ${wants}`)
  process.exit(0)
}

// Copied aside, then renamed: an incomplete program never counts.
const program = path.join(LIB_DIR, 'example', name, name)
fs.mkdirSync(path.dirname(program), { recursive: true })
fs.copyFileSync(source, `${program}.part`) // your installer goes here
fs.renameSync(`${program}.part`, program)

// Probes the version, computes the digest and prints the record.
const about = ['--provider', 'example', '--abspath', program, '--', ...given]
process.exit(spawnSync(RIGUP, ['hook', 'binary', ...about], { stdio: 'inherit' }).status ?? 1)
