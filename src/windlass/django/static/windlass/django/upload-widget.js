// Sends the files of upload widgets (windlass.django.forms.UploadWidget) resumably by tus 1.0, and puts their ids into
// the form. One module without imports, so that static files may be renamed by their hashes.
// Events are delegated: widgets that a formset adds later work as well.

const TUS = '1.0.0'
const RETRY_SECONDS = [1, 2, 4, 8, 15, 30]
const POLL_MILLISECONDS = [200, 400, 800, 1500, 2500]
const WAITING = 'The form is sent when the upload is done.'
/** Statuses with which a file cannot become ready any more. */
const ENDED = new Set(['REJECTED', 'QUARANTINED', 'FAILED', 'RELEASED'])

/** The uploads that run, by their widgets. */
const running = new Map()
/** Forms that a person sent while uploads ran, and the button that was used. */
const waiting = new Map()

/** What the server answered, in its words. `mayRetry`: the same request may succeed later. */
class Refused extends Error {
  constructor(message, mayRetry, retryAfter) {
    super(message)
    this.mayRetry = mayRetry
    this.retryAfter = retryAfter
  }
}

/** One file on its way: created or resumed, sent, and followed until it may be attached. */
class Upload {
  constructor(file, { endpoint, profile, token, onProgress, onMessage }) {
    Object.assign(this, { file, endpoint, profile, token, onProgress, onMessage })
    this.controller = new AbortController()
    this.memory = ['windlass-upload', endpoint, profile, file.name, file.size, file.lastModified].join('|')
  }

  cancel() {
    this.controller.abort()
    const url = this.url
    this.forget()
    if (url) fetch(url, { method: 'DELETE', headers: this.headers() }).catch(() => {})
  }

  /** The record of the file once all bytes are sent. */
  async send() {
    for (let failures = 0; ; ) {
      try {
        const offset = await this.createOrResume()
        const path = await this.append(offset, () => { failures = 0 })
        if (path) {
          this.forget()
          return await this.request('GET', path).then((reply) => reply.json())
        }
      } catch (error) {
        if (error.name === 'AbortError' || (error instanceof Refused && !error.mayRetry)) throw error
        const seconds = error.retryAfter || RETRY_SECONDS[Math.min(failures++, RETRY_SECONDS.length - 1)]
        this.onMessage(navigator.onLine ? `${error.message} Trying again.` : 'No connection. It goes on when there is one.')
        await this.pause(seconds * 1000)
      }
    }
  }

  /** Follow the file until it is READY; raises Refused for a file that cannot become so. */
  async untilReady(record) {
    for (let polls = 0; record.status !== 'READY'; polls++) {
      if (ENDED.has(record.status)) throw new Refused(reasonOf(record), false)
      this.onMessage('Sent. The file is being checked.')
      await this.pause(POLL_MILLISECONDS[Math.min(polls, POLL_MILLISECONDS.length - 1)])
      try {
        record = await this.request('GET', record.links.self).then((reply) => reply.json())
      } catch (error) {
        if (error.name === 'AbortError' || (error instanceof Refused && !error.mayRetry)) throw error
      }
    }
    return record
  }

  /** The offset to go on at. */
  async createOrResume() {
    this.url = this.url ?? recall(this.memory)
    if (this.url) {
      const reply = await fetch(this.url, { method: 'HEAD', headers: this.headers(), signal: this.controller.signal })
      if (reply.ok) return Number(reply.headers.get('Upload-Offset'))
      if (![403, 404, 410].includes(reply.status)) throw await refusal(reply)
      this.forget()
    }
    const described = { filename: this.file.name, filetype: this.file.type, profile: this.profile }
    const metadata = Object.entries(described).filter(([, value]) => value).map(([key, value]) => `${key} ${base64(value)}`)
    const headers = { 'Upload-Length': String(this.file.size), 'Upload-Metadata': metadata.join(',') }
    const reply = await this.request('POST', this.endpoint, headers)
    this.url = new URL(reply.headers.get('Location'), new URL(this.endpoint, location.href)).href
    remember(this.memory, this.url)
    return 0
  }

  /** Send the rest of the file; the path of its record, or null where more is to be sent. XMLHttpRequest tells how much has been sent; fetch does not. */
  append(offset, onStart) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest()
      const abort = () => request.abort()
      const end = (settle, value) => (this.controller.signal.removeEventListener('abort', abort), settle(value))
      request.open('PATCH', this.url)
      const headers = { 'Upload-Offset': String(offset), 'Content-Type': 'application/offset+octet-stream' }
      for (const [name, value] of Object.entries({ ...this.headers(), ...headers })) request.setRequestHeader(name, value)
      request.upload.onprogress = ({ loaded }) => {
        onStart()
        this.onMessage('')
        this.onProgress(Math.min(offset + loaded, this.file.size))
      }
      request.onload = () => {
        if (request.status < 300) end(resolve, request.getResponseHeader('Windlass-File'))
        else end(reject, problemOf(request.status, request.responseText, request.getResponseHeader('Retry-After')))
      }
      request.onerror = () => end(reject, new Refused('The connection was lost.', true))
      request.onabort = () => end(reject, new DOMException('cancelled', 'AbortError'))
      this.controller.signal.addEventListener('abort', abort)
      request.send(this.file.slice(offset))
    })
  }

  async request(method, url, headers = {}) {
    let reply
    try {
      const all = method === 'GET' ? {} : { ...this.headers(), ...headers }
      reply = await fetch(url, { method, headers: all, signal: this.controller.signal })
    } catch (error) {
      if (error.name === 'AbortError') throw error
      throw new Refused('The server does not answer.', true)
    }
    if (!reply.ok) throw await refusal(reply)
    return reply
  }

  headers() {
    return { 'Tus-Resumable': TUS, ...(this.token ? { 'X-CSRFToken': this.token } : {}) }
  }

  /** Ends early when the browser is online again. */
  pause(milliseconds) {
    const { signal } = this.controller
    return new Promise((resolve, reject) => {
      const timer = setTimeout(done, milliseconds)
      function done() {
        clearTimeout(timer)
        removeEventListener('online', done)
        signal.removeEventListener('abort', done)
        if (signal.aborted) reject(new DOMException('cancelled', 'AbortError'))
        else resolve()
      }
      addEventListener('online', done)
      signal.addEventListener('abort', done)
    })
  }

  forget() {
    this.url = undefined
    try { localStorage.removeItem(this.memory) } catch { /* the browser stores nothing */ }
  }
}

function recall(key) {
  try { return localStorage.getItem(key) ?? undefined } catch { return undefined }
}

function remember(key, url) {
  try { localStorage.setItem(key, url) } catch { /* it cannot be resumed after a reload then */ }
}

const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)))

const refusal = async (reply) => problemOf(reply.status, await reply.text(), reply.headers.get('Retry-After'))

/** An offset that differs (409) and a lease that is held (423) are looked at again. */
function problemOf(status, body, retryAfter) {
  let detail
  try { detail = JSON.parse(body).detail } catch { /* a reply of a proxy, or none */ }
  const mayRetry = status >= 500 || [408, 409, 423, 429].includes(status)
  return new Refused(detail ?? `The server answered ${status}.`, mayRetry, Number(retryAfter) || undefined)
}

const reasonOf = (record) => record.rejection?.detail || `The file could not be processed (${record.status.toLowerCase()}).`

function bytes(count) {
  const units = ['bytes', 'KB', 'MB', 'GB', 'TB']
  const power = count < 1024 ? 0 : Math.min(Math.floor(Math.log2(count) / 10), units.length - 1)
  return `${power ? (count / 1024 ** power).toFixed(1) : count} ${units[power]}`
}

const part = (widget, selector) => widget.querySelector(selector)
const say = (widget, text) => { part(widget, '.windlass-upload-message').textContent = text }
const idOf = (widget) => part(widget, 'input[type=hidden]')
const inputOf = (widget) => part(widget, 'input[type=file]')

function showProgress(widget, sent, size) {
  const bar = part(widget, 'progress')
  bar.value = size ? sent / size : 1
  bar.textContent = `${bytes(sent)} of ${bytes(size)}`
}

function showRunning(widget, isRunning) {
  part(widget, 'progress').hidden = !isRunning
  part(widget, '.windlass-upload-cancel').hidden = !isRunning
  const input = inputOf(widget)
  if (isRunning && input.required) widget.dataset.required = ''
  // The file input is empty meanwhile, and the browser would not send the form.
  input.required = !isRunning && 'required' in widget.dataset && !idOf(widget).value
}

function attach(widget, record) {
  const current = part(widget, '.windlass-upload-current')
  const link = part(current, 'a')
  link.textContent = record.original_filename
  link.href = record.links.download
  part(current, 'span').textContent = bytes(record.size)
  part(current, 'img')?.remove()
  const clear = part(current, 'input[type=checkbox]')
  if (clear) clear.checked = false
  current.hidden = false
  idOf(widget).value = record.id
  widget.dispatchEvent(new CustomEvent('windlass:attached', { bubbles: true, detail: record }))
}

async function start(widget, file) {
  running.get(widget)?.cancel()
  const limit = Number(widget.dataset.maxSize)
  inputOf(widget).value = '' // so that the form does not bring the bytes with it
  if (limit && file.size > limit) {
    say(widget, `${file.name} has ${bytes(file.size)}; at most ${bytes(limit)} are allowed.`)
    return
  }
  const upload = new Upload(file, {
    endpoint: widget.dataset.endpoint,
    profile: widget.dataset.profile,
    token: widget.closest('form')?.querySelector('[name=csrfmiddlewaretoken]')?.value,
    onProgress: (sent) => showProgress(widget, sent, file.size),
    onMessage: (text) => say(widget, text || (waiting.has(widget.closest('form')) ? WAITING : '')),
  })
  running.set(widget, upload)
  say(widget, '')
  showProgress(widget, 0, file.size)
  showRunning(widget, true)
  let attached = false
  try {
    let record = await upload.send()
    if (widget.dataset.mustBeReady === 'true') record = await upload.untilReady(record)
    attach(widget, record)
    attached = true
    say(widget, `${file.name} is attached.`)
  } catch (error) {
    if (running.get(widget) === upload) say(widget, error.name === 'AbortError' ? 'Cancelled.' : error.message)
  }
  if (running.get(widget) !== upload) return // another file was chosen meanwhile
  running.delete(widget)
  showRunning(widget, false)
  continueForm(widget.closest('form'), attached)
}

const runningIn = (form) => [...running.keys()].some((widget) => form.contains(widget))

function continueForm(form, attached) {
  if (!waiting.has(form) || runningIn(form)) return
  const button = waiting.get(form)
  waiting.delete(form)
  if (attached) form.requestSubmit(button)
}

document.addEventListener('change', ({ target }) => {
  const widget = target.closest('[data-windlass-upload]')
  if (!widget) return
  if (target.type === 'file' && target.files.length) start(widget, target.files[0])
})

document.addEventListener('click', ({ target }) => {
  const button = target.closest('.windlass-upload-cancel')
  if (button) running.get(button.closest('[data-windlass-upload]'))?.cancel()
})

document.addEventListener('submit', (event) => {
  const form = event.target
  if (!runningIn(form)) return
  event.preventDefault()
  event.stopImmediatePropagation()
  waiting.set(form, event.submitter)
  for (const widget of running.keys()) if (form.contains(widget)) say(widget, WAITING)
}, true)

addEventListener('beforeunload', (event) => { if (running.size) event.preventDefault() })
