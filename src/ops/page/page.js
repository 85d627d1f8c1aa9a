'use strict';
(() => {
  const root = document.documentElement, $ = (q, e = document) => e.querySelector(q), $$ = (q, e = document) => [...e.querySelectorAll(q)];
  const store = { get: k => { try { return localStorage[k]; } catch { } }, set: (k, v) => { try { localStorage[k] = v; } catch { } } };
  const zh = root.lang.startsWith('zh'), say2 = (en, cn) => zh ? cn : en;

  // Theme: the system's until the button is pressed.
  if (store.get('theme')) root.dataset.theme = store.get('theme');
  const dark = () => root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;

  // Title and icon follow the state: shape and colour, and the words of the verdict.
  const ICON = {
    ok: ['#1b8a5c', '<circle cx="16" cy="16" r="12"/>'], warn: ['#d08a14', '<path d="M16 3 30 28H2z"/>'],
    crit: ['#d13b31', '<path d="M4 4h24v24H4z"/>'], unk: ['#7d89a8', '<circle cx="16" cy="16" r="10" fill="none" stroke="#7d89a8" stroke-width="5"/>'],
  };
  const GLYPH = { ok: '●', warn: '▲', crit: '■', unk: '○' };
  function state(name, words) {
    const [fill, shape] = ICON[name] || ICON.unk;
    $('link[rel=icon]').href = 'data:image/svg+xml,' + encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" fill="${fill}">${shape}</svg>`);
    document.title = `${GLYPH[name] || GLYPH.unk} ${words} · stomp-bridge`;
    const mark = $('.brand .m'); if (mark) mark.className = 'm ' + name;
  }
  const say = () => { const d = document.body.dataset; state(d.state, (d.subject ? d.subject + ' · ' : '') + d.title); };

  // Ages tick here between two messages of the server; its clock counts, not this one.
  function age(s) {
    const u = zh ? [' 秒', ' 分钟', ' 小时', ' 天'] : [' s', ' min', ' h', ' d'], n = Math.floor;
    if (s < 60) return n(s) + u[0];
    if (s < 3600) return n(s / 60) + u[1];
    if (s < 86400) return n(s / 3600) + u[2] + ' ' + n(s % 3600 / 60) + u[1];
    return n(s / 86400) + u[3] + ' ' + n(s % 86400 / 3600) + u[2];
  }
  let skew = Date.parse(document.body.dataset.at) - Date.now();
  function tick() {
    if (root.classList.contains('gone')) return;
    $$('time.age').forEach(e => { const t = age(Math.max(0, (Date.now() + skew - Date.parse(e.dateTime)) / 1000)); if (e.textContent !== t) e.textContent = t; });
  }
  setInterval(tick, 1000);

  // Makes an element as another one is, and leaves alone what is the same: focus, an open list and
  // a selection stay. The text of an age is the clock's here.
  function morph(from, to) {
    if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName || (from.id || '') !== (to.id || '')) return from.replaceWith(to);
    if (from.nodeType !== 1) { if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue; return; }
    for (const { name } of [...from.attributes]) if (!to.hasAttribute(name) && name !== 'open') from.removeAttribute(name);
    for (const { name, value } of [...to.attributes]) if (from.getAttribute(name) !== value && !(from.id === 'pause' && name === 'aria-pressed')) from.setAttribute(name, value);
    if (from.matches('time.age')) return;
    const now = [...from.childNodes], next = [...to.childNodes];
    next.forEach((n, i) => { if (now[i]) morph(now[i], n); else from.append(n); });
    now.slice(next.length).forEach(n => n.remove());
  }
  // Of many topics mostly one has changed: only its cell comes.
  function recolour({ label, cells }) {
    const matrix = $('#matrix'); if (!matrix) return;
    matrix.setAttribute('aria-label', label);
    for (const [at, name] of cells) if (matrix.children[at]) matrix.children[at].className = name;
  }
  function show(regions) {
    const paused = $('#pause')?.getAttribute('aria-pressed') === 'true';
    for (const [id, html] of Object.entries(regions)) {
      const from = document.getElementById(id);
      if (!from || (id === 'changes' && paused)) continue;
      const box = document.createElement('template'); box.innerHTML = html.trim();
      morph(from, box.content.firstElementChild);
    }
    tick();
  }

  // The server sends `state` each 0.5 s, and what has changed. None for 6 s, or an error: the page
  // says so. A hidden tab holds no stream; it asks each 15 s, so that its title and icon stay true.
  // Where all streams are taken, the page asks each 5 s. This clock is never set.
  const now = () => performance.now();
  let heard = now(), source = null, next = 0;
  const clock = $('#clock');
  function gone() {
    if (root.classList.contains('gone')) return;
    const band = $('#gone'), at = clock.textContent;
    band.textContent = say2(
      `The daemon has not answered since ${at}. Below is the state of that moment; it may have changed. Trying again every 5 s. On the server: systemctl status stomp-bridge`,
      `守护进程自 ${at} 起没有应答。以下是当时的状态，可能已经变化。每 5 秒重试一次；在服务器上执行：systemctl status stomp-bridge`);
    root.classList.add('gone'); state('unk', say2('no answer', '无应答'));
  }
  function alive(d) {
    heard = now(); root.classList.remove('gone');
    // Another daemon has other regions; once a minute at most, and never below an open dialog.
    if (d.build !== document.body.dataset.build && heard > 60000 && !$('dialog[open]')) return location.reload();
    skew = Date.parse(d.at) - Date.now(); Object.assign(document.body.dataset, { at: d.at, state: d.state, title: d.title });
    clock.textContent = d.clock; const n = $('#letters'); n.textContent = d.dead_letters; n.hidden = d.dead_letters === '0'; say();
  }
  const ask = (url, then) => fetch(url, { cache: 'no-store' }).then(r => { if (r.status === 401) location.reload(); if (!r.ok) throw r; return r.json(); }).then(then, gone);
  const isNow = document.body.dataset.page === 'now';
  function close() { if (source) source.close(); source = null; }
  function poll() { ask('/regions', d => { alive(d.state); if (isNow) show(d.regions); }); }
  function listen() {
    close();
    source = new EventSource('/events');
    source.addEventListener('state', e => alive(JSON.parse(e.data)));
    if (isNow) source.addEventListener('regions', e => show(JSON.parse(e.data)));
    if (isNow) source.addEventListener('cells', e => recolour(JSON.parse(e.data)));
    source.onerror = () => {
      // Closed: it was answered, and not with a stream.
      const full = source.readyState === EventSource.CLOSED;
      if (!full) gone();
      close(); next = now() + (full ? 5000 : 2000); if (full) poll();
    };
  }
  const hidden = () => document.hidden;
  document.addEventListener('visibilitychange', () => { heard = now(); next = 0; if (hidden()) close(); else listen(); });
  // A machine that slept, or a page that was frozen, has heard nothing. It asks again, and
  // has 2 s for an answer before the page says that there is none.
  let turned = Date.now();
  setInterval(() => {
    const slept = Date.now() - turned > 4000; turned = Date.now();
    if (hidden()) return;
    if (slept) { heard = now() - 4000; listen(); }
    if (source && now() - heard > 6000) { gone(); close(); next = now() + 5000; }
    if (!source && now() >= next) listen();
  }, 1000);
  setInterval(() => { if (hidden()) ask('/api/v1/state', alive); }, 15000);
  if (!hidden()) listen();

  // Buttons: theme, pause, dialogs. data-open names a dialog, whose [data-fill=x] take data-x.
  document.addEventListener('click', e => {
    const b = e.target.closest('button, [data-open]'); if (!b) return;
    if (b.id === 'theme') store.set('theme', root.dataset.theme = dark() ? 'light' : 'dark');
    if (b.id === 'pause') b.setAttribute('aria-pressed', b.getAttribute('aria-pressed') !== 'true');
    if (b.dataset.open) {
      const d = $('#' + b.dataset.open), form = $('form', d);
      $$('[data-fill]', d).forEach(s => s.textContent = b.dataset[s.dataset.fill]);
      form.reset(); form.dataset.command = b.dataset.command; fails(form, ''); d.showModal();
    }
    if (b.dataset.close !== undefined) b.closest('dialog').close();
  });

  // A change is a request with the token in a header, which no other site can make a browser send.
  // The token stays in the field.
  function fails(form, words) { const p = $('.err', form); p.textContent = words; p.hidden = !words; }
  function token(text) { try { return JSON.parse(text).token || text; } catch { return text; } }
  document.addEventListener('submit', async e => {
    const form = e.target; if (!form.dataset.command) return;
    e.preventDefault();
    const field = $('[type=password]', form);
    try {
      const answer = await fetch('/control', { method: 'POST', headers: { Authorization: 'Bearer ' + token(field.value.trim()) }, body: form.dataset.command });
      const said = await answer.json().catch(() => ({}));
      const none = answer.ok && said.entries === 0 && /"(redrive|drop)/.test(form.dataset.command);
      // Some of what was to be decoded again cannot be yet.
      if (answer.ok && said.left) {
        const { entries, left, why } = said;
        fails(form, say2(`${entries} decoded again; ${left} stay: ${why}`, `已重新解析 ${entries} 条；${left} 条仍无法解析：${why}`));
        field.value = ''; return;
      }
      if (answer.ok && !none) { form.closest('dialog').close(); if (!isNow) location.reload(); return; }
      fails(form, none
        ? say2('Nothing was changed: it is done already, or too new. Try again in a second.', '没有任何更改：可能已经处理，或条目太新。请稍后再试。')
        : answer.status === 403 ? say2('This is not the token, or this browser runs on another machine: run the command on the server.', '令牌不对，或浏览器不在服务器上：请在服务器上执行上面的命令。')
        : said.error || String(answer.status));
    } catch { fails(form, say2('The daemon does not answer.', '守护进程没有应答。')); }
    field.value = '';
  });

  // Keys: / search, ? help, and g n, g d, g l. They can be turned off in the help (WCAG 2.1.4).
  let g = 0;
  const on = $('#keys-on'); if (on) { on.checked = store.get('keys') !== 'off'; on.onchange = () => store.set('keys', on.checked ? 'on' : 'off'); }
  document.addEventListener('keydown', e => {
    if (e.ctrlKey || e.metaKey || e.altKey || store.get('keys') === 'off' || e.target.closest('input, select, textarea, dialog')) return;
    if (e.key === '/') { const f = $$('input[type=search]').find(i => i.offsetParent); if (f) { f.focus(); e.preventDefault(); } }
    if (e.key === '?') $('#help').showModal();
    if (g && Date.now() - g < 900) { const a = $(`nav [data-key=${CSS.escape(e.key)}]`); if (a) a.click(); }
    g = e.key === 'g' ? Date.now() : 0;
  });
  say(); tick();
})();
