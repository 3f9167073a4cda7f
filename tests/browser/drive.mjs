// Opens a page in Chromium, gives it a file as a person would, and prints one line of JSON.
//
// node drive.mjs '{"chromium", "page", "path", "choose", "throttle"?, "scenario", …}'
//   choose    selector of the input that takes the file
//   throttle  bytes per second that the browser may send, so that something can happen on the way
//   scenario  one of those below, with what it takes
import { chromium } from 'playwright-core'

const task = JSON.parse(process.argv[2])
const PATIENCE = 60_000
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds))

/** A word that the page logs: what stands behind it. Fails as the page does. */
function heard(page, word) {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`the page never said "${word}"`)), PATIENCE)
    const ended = (end, result) => (clearTimeout(late), end(result))
    page.on('pageerror', (error) => ended(reject, error))
    page.on('console', (message) => {
      const [, said, rest] = message.text().match(/^(\w+): (.*)$/s) ?? []
      if (said === word) ended(resolve, rest)
      else if (said === 'failed') ended(reject, new Error(rest))
    })
  })
}

const sent = (page) => page.evaluate(() => globalThis.sent)
const sentAtLeast = (page, bytes) => page.waitForFunction((least) => globalThis.sent >= least, bytes)

const scenarios = {
  /** Nothing but the upload. */
  async plain(page) {
    const file = heard(page, 'done')
    await page.setInputFiles(task.choose, task.path)
    return { file: await file }
  },

  /** A refusal is what is wanted. */
  async refused(page) {
    const file = heard(page, 'done')
    await page.setInputFiles(task.choose, task.path)
    return { error: await file.then(() => null, (error) => error.message) }
  },

  /** FilePond: the upload, then its button to take it back. */
  async reverted(page) {
    const [file, reverted] = [heard(page, 'done'), heard(page, 'reverted')]
    await page.setInputFiles(task.choose, task.path)
    await file
    // FilePond says so when it has asked, not when it was answered.
    const answered = page.waitForResponse((response) => response.request().method() === 'DELETE')
    await page.click('.filepond--action-revert-item-processing')
    await Promise.all([reverted, answered])
    return { file: await file }
  },

  /** Uppy: paused `at` so many bytes, then resumed. */
  async paused(page) {
    const file = heard(page, 'done')
    await page.setInputFiles(task.choose, task.path)
    await sentAtLeast(page, task.at)
    await page.evaluate(() => globalThis.uppy.pauseAll())
    await pause(300) // what was under way
    const before = await sent(page)
    await pause(700)
    const after = await sent(page)
    await page.evaluate(() => globalThis.uppy.resumeAll())
    return { file: await file, paused: [before, after], resumedAt: await offsets }
  },

  /** The network goes away `at` so many bytes, and comes back. */
  async offline(page) {
    const file = heard(page, 'done')
    const broken = page.waitForEvent('requestfailed', (request) => request.method() === 'PATCH')
    await page.setInputFiles(task.choose, task.path)
    await sentAtLeast(page, task.at)
    await network({ offline: true })
    await broken
    const lost = await sent(page)
    await pause(500)
    await network({ offline: false })
    return { file: await file, lost, resumedAt: await offsets }
  },

  /** Uppy straight to a store: the page is reloaded `at` so many bytes. The parts that the store took before and after. */
  async reloaded(page) {
    const parts = [[]]
    page.on('response', (response) => {
      const number = new URL(response.url()).searchParams.get('partNumber')
      if (response.request().method() === 'PUT' && number && response.ok()) parts.at(-1).push(Number(number))
    })
    await page.setInputFiles(task.choose, task.path)
    await sentAtLeast(page, task.at)
    await page.reload()
    parts.push([])
    return { file: await heard(page, 'done'), parts }
  },

  /** Pages under their Content Security Policy: the `violations` on each, the origins that were asked, and whether a violation on purpose was `noticed`. */
  async policies(page) {
    const violations = []
    const origins = new Set()
    await page.exposeFunction('violated', (what) => violations.push(what))
    await page.addInitScript(() =>
      document.addEventListener('securitypolicyviolation', (event) =>
        globalThis.violated(`${location.pathname}: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`),
      ),
    )
    page.on('request', (request) => request.url().startsWith('http') && origins.add(new URL(request.url()).origin))
    for (const { path, click = [], fill = {}, shows } of task.visits) {
      await page.goto(new URL(path, task.page).href)
      for (const [selector, text] of Object.entries(fill)) await page.fill(selector, text)
      for (const selector of click) await page.locator(selector).first().click()
      await page.locator(shows).first().waitFor({ timeout: PATIENCE })
    }
    const found = [...violations]
    await page.evaluate(() => document.body.append(Object.assign(document.createElement('script'), { text: '1' })))
    while (violations.length === found.length) await pause(20)
    return { violations: found, origins: [...origins], noticed: violations.at(-1) }
  },

  /** A page with a video: what the browser makes of it, from three quarters of its length on. */
  async play(page) {
    const statuses = []
    page.on('response', (response) => response.url().includes('/renditions/') && statuses.push(response.status()))
    await page.reload()
    const played = await page.locator('video').evaluate(async (video) => {
      const heard = (name) =>
        new Promise((resolve, reject) => {
          video.addEventListener(name, resolve, { once: true })
          video.addEventListener('error', () => reject(new Error(video.error.message)), { once: true })
        })
      if (video.readyState < HTMLMediaElement.HAVE_METADATA) await heard('loadedmetadata')
      const sought = heard('seeked')
      video.currentTime = video.duration * 0.75
      await sought
      const from = video.currentTime
      await video.play()
      while (video.currentTime < from + 0.5) await heard('timeupdate')
      return {
        width: video.videoWidth,
        height: video.videoHeight,
        duration: video.duration,
        from,
        reached: video.currentTime,
        decoded: video.getVideoPlaybackQuality().totalVideoFrames,
        error: video.error,
      }
    })
    return { ...played, statuses, colours: played.width ? await colours(page) : [] }
  },
}

/** What is seen a quarter and three quarters across the video: red, green, blue. */
async function colours(page) {
  const shot = (await page.locator('video').screenshot()).toString('base64')
  return page.evaluate(async (data) => {
    const image = new Image()
    image.src = `data:image/png;base64,${data}`
    await image.decode()
    const canvas = new OffscreenCanvas(image.width, image.height)
    const context = canvas.getContext('2d')
    context.drawImage(image, 0, 0)
    const at = (x) => [...context.getImageData(image.width * x, image.height / 2, 1, 1).data.slice(0, 3)]
    return [at(0.25), at(0.75)]
  }, shot)
}

/** Where the server said to go on, each time that it was asked. */
const offsets = []
async function note(response) {
  if (response.request().method() !== 'HEAD') return
  const offset = await response.headerValue('upload-offset')
  if (offset !== null) offsets.push(Number(offset))
}

let devtools

/** Not Playwright's setOffline, which would forget the throttle. */
function network({ offline }) {
  const conditions = { offline, latency: 0, downloadThroughput: -1, uploadThroughput: task.throttle ?? -1 }
  return devtools.send('Network.emulateNetworkConditions', conditions)
}

const browser = await chromium.launch({
  executablePath: task.chromium,
  args: [
    ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
    ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
  ],
})
try {
  const context = await browser.newContext()
  const page = await context.newPage()
  page.setDefaultTimeout(PATIENCE)
  page.on('response', note)
  await page.goto(task.page)
  devtools = await context.newCDPSession(page)
  await devtools.send('Network.enable')
  await network({ offline: false })
  console.log(JSON.stringify(await scenarios[task.scenario](page)))
} finally {
  await browser.close()
}
