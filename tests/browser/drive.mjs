#!/usr/bin/env node
// A person at a browser: opens an address, and says in a line of JSON where that led and what stood there.
//
// With EMAIL, PASSWORD and DECISION it logs a terminal in, or does not: types them where it is asked, compares the code
// that the address ends with, and clicks.
import { createRequire } from 'node:module'

const puppeteer = createRequire(process.env.MODULES + '/')('puppeteer-core')
const browser = await puppeteer.launch({
  executablePath: '/usr/bin/chromium',
  // Root has no sandbox, and nothing but the test's own pages is opened.
  args: ['--no-sandbox', '--disable-dev-shm-usage'],
})
const page = await browser.newPage()
const complaints = []
page.on('pageerror', (error) => complaints.push(error.message))
page.on('console', (said) => {
  const isOfPage = !said.location().url?.endsWith('/favicon.ico')
  if (said.type() === 'error' && isOfPage) complaints.push(said.text())
})

const text = () => page.evaluate(() => document.body.innerText)
const click = async (button) => {
  await Promise.all([page.waitForNavigation({ waitUntil: 'load' }), page.click(button)])
}

const address = process.argv[2]
const { EMAIL, PASSWORD, DECISION } = process.env
await page.goto(address, { waitUntil: 'networkidle0' })
if (EMAIL) {
  const code = address.split('#')[1]
  if (!(await text()).includes(code)) throw new Error(`the page does not show ${code}`)
  await page.type('input[name=email]', EMAIL)
  await page.type('input[name=password]', PASSWORD)
  await click('button')
  if (!(await text()).includes(code)) throw new Error(`the page does not show ${code}`)
  await click(`button[value=${DECISION}]`)
}
const widest = await page.evaluate(() => getComputedStyle(document.body).maxWidth)
console.log(JSON.stringify({ at: page.url(), text: await text(), widest, complaints }))
await browser.close()
