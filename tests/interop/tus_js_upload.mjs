// Uploads a file with tus-js-client and prints one line of JSON.
//
// node tus_js_upload.mjs '{"endpoint", "path", "chunkSize"?, "abortAfter"?, "terminate"?, "kill"?, "source"?, "options"?}'
//   chunkSize   bytes of one PATCH; without it one PATCH takes everything
//   abortAfter  stop when this many bytes are sent, then go on with a new Upload object, as after a reload
//   terminate   stop there and delete the upload instead
//   kill        {"pid", "after"}: SIGKILL that process when so many bytes are sent, and leave the rest to the retries
//   source      what tus-js-client is given: a "file"; a "stream", whose length nobody knows; a "buffer", like a browser
//   options     given to tus-js-client as they are
import fs from 'node:fs'
import { basename } from 'node:path'
import { PassThrough } from 'node:stream'
import * as tus from 'tus-js-client'

const task = JSON.parse(process.argv[2])
const offsets = []
let killedAt = null

const sources = {
  file: (path) => fs.createReadStream(path),
  stream: (path) => fs.createReadStream(path).pipe(new PassThrough()),
  buffer: (path) => fs.readFileSync(path),
}

function start(settings, { abortAfter, terminate, kill } = {}) {
  return new Promise((resolve, reject) => {
    const upload = new tus.Upload(sources[task.source ?? 'file'](task.path), {
      chunkSize: task.chunkSize || Number.POSITIVE_INFINITY,
      metadata: { filename: basename(task.path), filetype: 'application/octet-stream' },
      retryDelays: [100, 200, 400, ...Array(40).fill(800)],
      ...task.options,
      ...settings,
      onError: reject,
      onSuccess: ({ lastResponse }) => resolve({ upload, file: lastResponse.getHeader('Windlass-File') ?? null }),
      onProgress: (sent) => {
        if (kill && sent >= kill.after) {
          process.kill(kill.pid, 'SIGKILL')
          killedAt = sent
          kill = undefined
        }
        if (abortAfter && sent >= abortAfter) {
          abortAfter = undefined
          upload.abort(Boolean(terminate)).then(() => resolve({ upload, file: null }), reject)
        }
      },
      onAfterResponse: (request, response) => {
        if (request.getMethod() === 'HEAD') offsets.push(Number(response.getHeader('Upload-Offset')))
      },
    })
    upload.start()
  })
}

const first = await start({ endpoint: task.endpoint }, task)
const last =
  task.abortAfter && !task.terminate ? await start({ endpoint: task.endpoint, uploadUrl: first.upload.url }) : first

// `resumedAt`: the offsets that the server named when it was asked where to go on. `killedAt`: what was sent by then.
console.log(JSON.stringify({ url: last.upload.url, file: last.file, resumedAt: offsets, killedAt }))
