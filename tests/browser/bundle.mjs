// Bundles pages for a browser: node bundle.mjs DIRECTORY makes NAME.bundle.js of every NAME.js there.
import fs from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'

const directory = process.argv[2]
const names = fs.readdirSync(directory).map((file) => file.replace(/\.js$/, ''))

await build({
  entryPoints: names.map((name) => ({ in: join(directory, `${name}.js`), out: `${name}.bundle` })),
  outdir: directory,
  bundle: true,
  format: 'esm',
  // The pages lie elsewhere than the packages.
  nodePaths: [join(import.meta.dirname, 'node_modules')],
  logLevel: 'error',
})
