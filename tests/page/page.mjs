// Drives a headless Chromium through the status page. Each line of standard input is a command, and
// each gets one line of JSON: { "ok": value } or { "error": text }. Tabs stand between the words.
//
//   open URL [lang] [theme] [width]   a page in a new tab
//   text SELECTOR                     the text of an element
//   title                             the title of the window
//   until SELECTOR TEXT               waits until an element has a text; gives the milliseconds
//   gone                              waits until the page says that the daemon does not answer
//   back                              waits until it answers again
//   wide                              how far the page is wider than the window
//   violations                        what the page's policy has refused, and errors of the script
//   shot FILE                         a picture of the whole page
//   click SELECTOR, fill SELECTOR TEXT, press KEY
import { chromium } from 'playwright-core';
import { createInterface } from 'node:readline';

const executablePath = process.env.CHROMIUM || '/usr/bin/chromium';
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
let page, trouble = [];

async function open([url, lang = 'en', theme = 'light', width = '1440']) {
  if (page) await page.context().close();
  const context = await browser.newContext({
    locale: lang === 'zh' ? 'zh-CN' : 'en-GB', colorScheme: theme, viewport: { width: Number(width), height: 900 },
  });
  page = await context.newPage(); trouble = [];
  page.on('console', m => { if (m.type() === 'error' && !/Failed to load resource|ERR_/.test(m.text())) trouble.push(m.text()); });
  page.on('pageerror', e => trouble.push(String(e)));
  const origin = new URL(url).origin;
  page.on('request', r => { const u = new URL(r.url()); if (u.protocol !== 'data:' && u.origin !== origin) trouble.push('asks ' + r.url()); });
  const answer = await page.goto(url, { waitUntil: 'load' });
  return answer.status();
}
const commands = {
  open,
  text: ([q]) => page.locator(q).first().innerText(),
  title: () => page.title(),
  until: async ([q, words]) => {
    const begun = Date.now();
    await page.waitForFunction(([q, t]) => document.querySelector(q)?.textContent.includes(t), [q, words], { timeout: 20000, polling: 20 });
    return Date.now() - begun;
  },
  gone: () => page.waitForSelector('html.gone', { timeout: 15000 }).then(() => true),
  back: () => page.waitForSelector('html:not(.gone)', { timeout: 30000 }).then(() => true),
  wide: () => page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth),
  violations: () => trouble,
  shot: ([file]) => page.screenshot({ path: file, fullPage: true }).then(() => true),
  click: ([q]) => page.click(q).then(() => true),
  fill: ([q, words]) => page.fill(q, words).then(() => true),
  press: ([key]) => page.keyboard.press(key).then(() => true),
};
for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...rest] = line.split('\t');
  try {
    console.log(JSON.stringify({ ok: (await commands[name](rest)) ?? null }));
  } catch (error) { console.log(JSON.stringify({ error: String(error).split('\n')[0] })); }
}
await browser.close();
