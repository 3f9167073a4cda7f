// Sends the files of upload widgets (windlass.django.forms.UploadWidget) resumably by tus 1.0, and puts their ids into
// the form. One module without imports, so that static files may be renamed by their hashes.
// Events are delegated: widgets that a formset adds later work as well.

const TUS = '1.0.0'
const RETRY_SECONDS = [1, 2, 4, 8, 15, 30]
const POLL_MILLISECONDS = [200, 400, 800, 1500, 2500]
const WAITING = 'The form is sent when the upload is done.'
const PAUSED = 'Paused.'
/** Files of one widget that are sent at the same time; the others wait. */
const MOST_SENDING = 3
/** Statuses with which a file cannot become ready any more. */
const ENDED = new Set(['REJECTED', 'QUARANTINED', 'FAILED', 'RELEASED'])

/** The uploads that run, by the elements that show them: a widget of one file, or a row of a widget of several. */
const running = new Map()
/** Forms that a person sent while uploads ran: the button that was used, and whether an upload has failed since. */
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
    /** Ends the requests of one attempt; `resume` is set while the upload is paused. */
    this.attempt = new AbortController()
    this.resume = null
    this.memory = ['windlass-upload', endpoint, profile, file.name, file.size, file.lastModified].join('|')
  }

  get isPaused() { return this.resume !== null }

  /** Stop sending; what the server has stays there. */
  pauseSending() {
    this.whenResumed = new Promise((resolve) => { this.resume = resolve })
    this.attempt.abort()
  }

  resumeSending() {
    this.attempt = new AbortController()
    this.resume?.()
    this.resume = null
  }

  get signal() { return AbortSignal.any([this.controller.signal, this.attempt.signal]) }

  cancel() {
    this.controller.abort()
    this.resumeSending()
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
        if (error.name === 'AbortError' && this.isPaused) {
          this.onMessage(PAUSED)
          await this.whenResumed
          this.onMessage('')
          continue
        }
        if (error.name === 'AbortError' || (error instanceof Refused && !error.mayRetry)) throw error
        const seconds = error.retryAfter || RETRY_SECONDS[Math.min(failures++, RETRY_SECONDS.length - 1)]
        this.onMessage(navigator.onLine ? `${error.message} Trying again.` : 'No connection. It goes on when there is one.')
        await this.wait(seconds * 1000).catch((aborted) => { if (!this.isPaused) throw aborted })
      }
    }
  }

  /** Follow the file until it is READY; raises Refused for a file that cannot become so. */
  async untilReady(record) {
    for (let polls = 0; record.status !== 'READY'; polls++) {
      if (ENDED.has(record.status)) throw new Refused(reasonOf(record), false)
      this.onMessage('Sent. The file is being checked.')
      await this.wait(POLL_MILLISECONDS[Math.min(polls, POLL_MILLISECONDS.length - 1)])
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
      const reply = await fetch(this.url, { method: 'HEAD', headers: this.headers(), signal: this.signal })
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
      const { signal } = this
      const abort = () => request.abort()
      const end = (settle, value) => (signal.removeEventListener('abort', abort), settle(value))
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
      signal.addEventListener('abort', abort)
      request.send(this.file.slice(offset))
    })
  }

  async request(method, url, headers = {}) {
    let reply
    try {
      const all = method === 'GET' ? {} : { ...this.headers(), ...headers }
      reply = await fetch(url, { method, headers: all, signal: this.signal })
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
  wait(milliseconds) {
    const { signal } = this
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

const part = (element, selector) => element.querySelector(selector)
const inputOf = (widget) => part(widget, 'input[type=file]')
const widgetOf = (element) => element.closest('[data-windlass-upload]')
const isOfSeveral = (widget) => 'multiple' in widget.dataset

/** Show a text in a widget or a row; `isError`: the person has to do something. */
function say(shown, text, isError = false) {
  const message = part(shown, ':scope > .windlass-upload-message')
  message.textContent = text
  message.classList.toggle('windlass-upload-error', isError)
}

function showProgress(shown, sent, size) {
  const bar = part(shown, 'progress')
  bar.value = size ? sent / size : 1
  bar.textContent = `${bytes(sent)} of ${bytes(size)}`
}

/** `state`: sending, checking (nothing to pause any more), or ended. */
function showState(shown, state, name) {
  const [pause, cancel] = ['.windlass-upload-pause', '.windlass-upload-cancel'].map((selector) => part(shown, selector))
  const focused = document.activeElement // asked for before it is hidden, which moves the focus
  const isRunning = state !== 'ended'
  part(shown, 'progress').hidden = !isRunning
  pause.hidden = state !== 'sending'
  pause.textContent = 'Pause'
  pause.setAttribute('aria-label', `Pause ${name}`)
  cancel.hidden = !isRunning && !isOfSeveral(widgetOf(shown))
  if (!cancel.classList.contains('windlass-upload-remove')) cancel.setAttribute('aria-label', `Cancel ${name}`)
  const widget = widgetOf(shown)
  showWhetherRequired(widget)
  if ([pause, cancel].includes(focused) && focused.hidden) inputOf(widget).focus() // not to the page's beginning
}

/** The file input is empty where uploads run or ids are there, and the browser would not send the form. */
function showWhetherRequired(widget) {
  const input = inputOf(widget)
  if (input.required) widget.dataset.required = ''
  const hasFile = [...widget.querySelectorAll('input[type=hidden]')].some(({ value }) => value)
  const isRunning = [...running.keys()].some((shown) => widget.contains(shown))
  input.required = 'required' in widget.dataset && !hasFile && !isRunning
}

/** A row for a file of a widget of several. */
function addRow(widget, file) {
  const row = part(widget, 'template').content.firstElementChild.cloneNode(true)
  part(row, '.windlass-upload-name').textContent = file.name
  part(row, '.windlass-upload-size').textContent = bytes(file.size)
  part(row, 'progress').setAttribute('aria-label', `Upload of ${file.name}`)
  part(row, '.windlass-upload-cancel').setAttribute('aria-label', `Remove ${file.name}`)
  part(widget, '.windlass-upload-files').append(row)
  return row
}

function removeRow(row) {
  const widget = widgetOf(row)
  row.remove()
  showWhetherRequired(widget)
  inputOf(widget).focus()
}

function attach(shown, record) {
  const current = part(shown, '.windlass-upload-current')
  const link = part(current, 'a')
  link.textContent = record.original_filename
  link.href = record.links.download
  part(current, '.windlass-upload-size').textContent = bytes(record.size)
  part(current, 'img')?.remove()
  const clear = part(current, 'input[type=checkbox]')
  if (clear) clear.checked = false
  current.hidden = false
  part(shown, 'input[type=hidden]').value = record.id
  shown.dispatchEvent(new CustomEvent('windlass:attached', { bubbles: true, detail: record }))
}

/** Resolves when fewer than MOST_SENDING files of a widget are being sent, or the upload was cancelled. */
async function turnOf(widget, shown, upload) {
  const sending = () => [...running].filter(([each, { isPaused }]) => widget.contains(each) && !isPaused)
  const isFirst = () => sending().findIndex(([each]) => each === shown) < MOST_SENDING
  while (!isFirst() && !upload.controller.signal.aborted) await new Promise((resolve) => setTimeout(resolve, 100))
}

/** Send a file, and show it in `shown`. */
async function start(widget, shown, file) {
  running.get(shown)?.cancel()
  const limit = Number(widget.dataset.maxSize)
  if (limit && file.size > limit) {
    say(shown, `${file.name} has ${bytes(file.size)}; at most ${bytes(limit)} are allowed.`, true)
    showState(shown, 'ended', file.name)
    return
  }
  const form = widget.closest('form')
  const upload = new Upload(file, {
    endpoint: widget.dataset.endpoint,
    profile: widget.dataset.profile,
    token: form?.querySelector('[name=csrfmiddlewaretoken]')?.value,
    onProgress: (sent) => showProgress(shown, sent, file.size),
    onMessage: (text) => say(shown, text || (waiting.has(form) ? WAITING : '')),
  })
  running.set(shown, upload)
  say(shown, '')
  showProgress(shown, 0, file.size)
  showState(shown, 'sending', file.name)
  let isAttached = false
  try {
    await turnOf(widget, shown, upload)
    let record = await upload.send()
    showState(shown, 'checking', file.name)
    if (widget.dataset.mustBeReady === 'true') record = await upload.untilReady(record)
    attach(shown, record)
    isAttached = true
    say(shown, isOfSeveral(widget) ? 'Attached.' : `${file.name} is attached.`)
  } catch (error) {
    const isCancelled = error.name === 'AbortError'
    if (running.get(shown) === upload) say(shown, isCancelled ? 'Cancelled.' : error.message, !isCancelled)
  }
  if (running.get(shown) !== upload) return // another file was chosen meanwhile
  running.delete(shown)
  if (shown.isConnected) showState(shown, 'ended', file.name)
  else showWhetherRequired(widget) // the row was removed
  continueForm(form, isAttached || !shown.isConnected)
}

const runningIn = (form) => [...running.keys()].some((shown) => form.contains(shown))

/** Send the form that waits, once its uploads have ended, and none of them failed. */
function continueForm(form, isFine) {
  const sent = waiting.get(form)
  if (!sent) return
  sent.hasFailed ||= !isFine
  if (runningIn(form)) return
  waiting.delete(form)
  if (!sent.hasFailed) form.requestSubmit(sent.button)
}

document.addEventListener('change', ({ target }) => {
  const widget = widgetOf(target)
  if (!widget || target.type !== 'file' || !target.files.length) return
  const files = [...target.files]
  target.value = '' // so that the form does not bring the bytes with it
  if (isOfSeveral(widget)) for (const file of files) start(widget, addRow(widget, file), file)
  else start(widget, widget, files[0])
})

document.addEventListener('click', ({ target }) => {
  const button = target.closest('.windlass-upload-pause, .windlass-upload-cancel')
  if (!button) return
  const widget = widgetOf(button)
  const shown = isOfSeveral(widget) ? button.closest('.windlass-upload-row') : widget
  const upload = running.get(shown)
  if (button.matches('.windlass-upload-cancel')) {
    if (isOfSeveral(widget)) removeRow(shown)
    upload?.cancel()
  } else if (upload?.isPaused) {
    upload.resumeSending()
    button.textContent = 'Pause'
    button.setAttribute('aria-label', button.getAttribute('aria-label').replace('Resume', 'Pause'))
  } else if (upload) {
    upload.pauseSending()
    button.textContent = 'Resume'
    button.setAttribute('aria-label', button.getAttribute('aria-label').replace('Pause', 'Resume'))
  }
})

document.addEventListener('submit', (event) => {
  const form = event.target
  if (!runningIn(form)) return
  event.preventDefault()
  event.stopImmediatePropagation()
  waiting.set(form, { button: event.submitter, hasFailed: false })
  for (const [shown, upload] of running) {
    if (form.contains(shown)) say(shown, upload.isPaused ? `${PAUSED} The form is sent when you have resumed it.` : WAITING)
  }
}, true)

addEventListener('beforeunload', (event) => { if (running.size) event.preventDefault() })
