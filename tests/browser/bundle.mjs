// Bundles pages for a browser: node bundle.mjs DIRECTORY makes NAME.bundle.js of every NAME.js there. Pages whose name
// ends in -v5 get the Uppy of that major.
import fs from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'

const directory = process.argv[2]
const names = fs.readdirSync(directory).flatMap((file) => file.match(/^(.*(?<!\.bundle))\.js$/)?.[1] ?? [])

const packages = join(import.meta.dirname, 'node_modules')
const older = join(import.meta.dirname, 'uppy5', 'node_modules')

const bundled = (names, nodePaths) =>
  build({
    entryPoints: names.map((name) => ({ in: join(directory, `${name}.js`), out: `${name}.bundle` })),
    outdir: directory,
    bundle: true,
    format: 'esm',
    // The pages lie elsewhere than the packages.
    nodePaths,
    logLevel: 'error',
  })

const isOlder = (name) => name.endsWith('-v5')
await bundled(names.filter((name) => !isOlder(name)), [packages])
await bundled(names.filter(isOlder), [older, packages])
