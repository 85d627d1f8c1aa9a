// Drives a headless Chromium through the status page. Each line of standard input is a command, and
// each gets one line of JSON: { "ok": value } or { "error": text }. Tabs stand between the words.
//
//   open URL [lang] [theme] [width] [skew]   a page in a new tab, whose clock is so many seconds fast
//   text SELECTOR                     the text of an element
//   title                             the title of the window
//   until SELECTOR TEXT               waits until an element has a text; gives the milliseconds
//   gone                              waits until the page says that the daemon does not answer
//   back                              waits until it answers again
//   wide                              how far the page is wider than the window
//   violations                        what the page's policy has refused, and errors of the script
//   contrast                          the texts whose contrast is too low (WCAG 2, AA), and how many there are
//   english                           of a Chinese page, what is English and no name, code or quotation
//   tabs                              the stops of the Tab key: how many, and those without an outline that is seen
//   sleeps SECONDS                    the page stands still meanwhile, as on a machine that sleeps; then
//                                     whether it says that the daemon is gone before it hears of it
//   shot FILE [view]                  a picture of the whole page, or of what the window shows
//   click SELECTOR, fill SELECTOR TEXT, press KEY
import { chromium } from 'playwright-core';
import { createInterface } from 'node:readline';

const executablePath = process.env.CHROMIUM || '/usr/bin/chromium';
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
let page, trouble = [];

async function open([url, lang = 'en', theme = 'light', width = '1440', skew = '0']) {
  // One that is just loading another page may never be closed: it is left to the end.
  if (page) await Promise.race([page.context().close(), new Promise(done => setTimeout(done, 5000).unref())]);
  const context = await browser.newContext({
    locale: lang === 'zh' ? 'zh-CN' : 'en-GB', colorScheme: theme, viewport: { width: Number(width), height: 900 },
  });
  if (skew !== '0') await context.addInitScript(ms => { const real = Date.now; Date.now = () => real() + ms; }, Number(skew) * 1000);
  page = await context.newPage(); trouble = [];
  page.on('console', m => { if (m.type() === 'error' && !/Failed to load resource|ERR_/.test(m.text())) trouble.push(m.text()); });
  page.on('pageerror', e => trouble.push(String(e)));
  const origin = new URL(url).origin;
  page.on('request', r => { const u = new URL(r.url()); if (u.protocol !== 'data:' && u.origin !== origin) trouble.push('asks ' + r.url()); });
  const answer = await page.goto(url, { waitUntil: 'load' });
  return answer.status();
}
// In the page. Texts are held against what is painted behind them: the nearest ground that is opaque.
function contrast() {
  const rgb = text => { const n = text.match(/[\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
  const light = ([r, g, b]) => [r, g, b].map(c => (c /= 255) <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const over = (a, b) => a.slice(0, 3).map((c, i) => c * a[3] + b[i] * (1 - a[3]));
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), low = [];
  let count = 0;
  while (texts.nextNode()) {
    const node = texts.currentNode, of = node.parentElement, words = node.textContent.trim();
    const range = document.createRange(); range.selectNodeContents(node);
    const box = range.getBoundingClientRect();
    if (!words || !box.width || of.closest('.sr, dialog:not([open]), option') || !of.checkVisibility({ visibilityProperty: true })) continue;
    const grounds = [];
    for (let e = of; e; e = e.parentElement) {
      const ground = rgb(getComputedStyle(e).backgroundColor);
      if (ground[3]) grounds.push(ground);
      if (ground[3] === 1) break;
    }
    const ground = grounds.reduceRight((below, above) => over(above, below), [255, 255, 255]);
    const style = getComputedStyle(of), ink = over(rgb(of instanceof SVGElement ? style.fill : style.color), ground);
    const [a, b] = [light(ink), light(ground)].sort((x, y) => y - x), ratio = (a + .05) / (b + .05);
    const large = parseFloat(style.fontSize) >= 24 || parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700;
    count += 1;
    if (ratio < (large ? 3 : 4.5)) low.push(`${ratio.toFixed(2)}: ${words.slice(0, 40)}`);
  }
  return { count, low };
}
function english() {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  while (texts.nextNode()) {
    const of = texts.currentNode.parentElement;
    if (of.closest('code, pre, script, .mono')) continue;
    const words = texts.currentNode.textContent.replace(/“[^”]*”|"[^"]*"|`[^`]*`/g, '');
    if (/[A-Za-z]{2,} +[A-Za-z]{2,}/.test(words)) found.push(words.trim());
  }
  return found;
}
async function tabs() {
  const bare = [], seen = new Set();
  await page.evaluate(() => { document.activeElement?.blur(); window.scrollTo(0, 0); });
  for (let stop = 0; stop < 400; stop += 1) {
    await page.keyboard.press('Tab');
    const at = await page.evaluate(() => {
      const e = document.activeElement;
      if (!e || e === document.body) return null;
      window.stops ??= new Map(); if (!window.stops.has(e)) window.stops.set(e, window.stops.size);
      const style = getComputedStyle(e), box = e.getBoundingClientRect();
      const outlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
      const shown = box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight;
      return { number: window.stops.get(e), fine: outlined && shown, what: `${e.tagName} ${e.textContent.trim().slice(0, 30)}` };
    });
    if (!at || seen.has(at.number)) break;
    seen.add(at.number);
    if (!at.fine) bare.push(at.what);
  }
  return { count: seen.size, bare };
}
async function sleeps([seconds]) {
  return page.evaluate(ms => new Promise(done => {
    let gone = false;
    new MutationObserver(() => { gone ||= document.documentElement.classList.contains('gone'); })
      .observe(document.documentElement, { attributes: true });
    const end = Date.now() + ms; while (Date.now() < end);
    const before = document.body.dataset.at;
    const asks = setInterval(() => { if (document.body.dataset.at > before) { clearInterval(asks); done(gone); } }, 20);
  }), Number(seconds) * 1000);
}
const commands = {
  open, tabs, sleeps,
  contrast: () => page.evaluate(contrast),
  english: () => page.evaluate(english),
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
  shot: ([file, what]) => page.screenshot({ path: file, fullPage: what !== 'view' }).then(() => true),
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
