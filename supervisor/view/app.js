/* app.js - the page: what the app and its works do, and the buttons that steer them.
 *
 * Reads the same API as lwctl (GET /api/v1/spec lists it). Events say what moved; what they leave
 * open is read anew, one request a second at most. `state` holds what is known of the app, `record`
 * what is known of its runs; a view is built once when it is entered and brought up to date by its
 * update(). Whatever a work printed or was given goes into text nodes, never into markup.
 */
'use strict';

/* ---- words ------------------------------------------------------------------------------ */

const MINUTE = 60, HOUR = 3600, DAY = 86400;

const clockForm = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
const dayForm = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const wholeForm = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'long' });
const numberForm = new Intl.NumberFormat('en');

function count(number, one, many = `${one}s`) {
  return `${numberForm.format(number)} ${number === 1 ? one : many}`;
}

/* A length of time, in two parts at most. */
function span(seconds) {
  if (seconds < 0.001) return `${Math.max(0, Math.round(seconds * 1e6))} µs`;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < MINUTE) return `${Math.floor(seconds)} s`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} min ${Math.floor(seconds % MINUTE)} s`;
  if (seconds < DAY) return `${Math.floor(seconds / HOUR)} h ${Math.floor(seconds % HOUR / MINUTE)} min`;
  return `${count(Math.floor(seconds / DAY), 'day')} ${Math.floor(seconds % DAY / HOUR)} h`;
}

function ago(at) {
  const seconds = now() - at;
  if (seconds < 1) return 'now';
  if (seconds < MINUTE) return `${Math.floor(seconds)} s ago`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} min ago`;
  if (seconds < DAY) return `${Math.floor(seconds / HOUR)} h ago`;
  return dayForm.format(at * 1000);
}

function bytes(size) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  for (; size >= 1000 && unit < units.length - 1; unit++) size /= 1024;
  return `${size < 10 && unit > 0 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`;
}

/* A value of a call in one line; special ones as the API writes them, see docs/control-api.md. */
function brief(value) {
  if (Array.isArray(value)) return `[${value.map(brief).join(', ')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const keys = Object.keys(value);
  if (keys.length === 1 && (keys[0] === '$int' || keys[0] === '$float')) return String(value[keys[0]]);
  return `{${keys.map((key) => `${JSON.stringify(key)}: ${brief(value[key])}`).join(', ')}}`;
}

/* A list leaves out the arguments of a long call. */
function callText(call) {
  if (call.args === null) return '(long arguments)';
  const named = Object.entries(call.kwargs ?? {}).map(([name, value]) => `${name}=${brief(value)}`);
  return [...(call.args ?? []).map(brief), ...named].join(', ');
}

/* JSON whose large integers stay what they are: they become {"$int": "..."}, which no value of the
 * API is but a number. */
const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/g;

function parse(text) {
  const exact = (token) => /^-?\d{16,}$/.test(token) && !Number.isSafeInteger(Number(token)) ? `{"$int":"${token}"}` : token;
  return JSON.parse(/\d{16}/.test(text) ? text.replace(TOKENS, exact) : text);
}

/* The same the other way round, for who reads it and for the supervisor. */
const EXACT = new RegExp(String.raw`\{\s*"\$int":\s*"(-?\d+)"\s*\}|${TOKENS.source}`, 'g');

function write(value, space) {
  return JSON.stringify(value, null, space).replace(EXACT, (token, integer) => {
    if (integer !== undefined) return BigInt(integer) === BigInt.asIntN(64, BigInt(integer)) ? integer : token;
    return /^-?\d{16,}$/.test(token) && !Number.isSafeInteger(Number(token)) ? Number(token).toExponential() : token;
  });
}

function pretty(value) {
  return write(value, 2);
}

/* ---- nodes -------------------------------------------------------------------------------- */

function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? '' : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/* What stays as it is costs nothing and jumps nowhere. */
function setText(node, text) {
  if (node.firstChild === null || node.firstChild.data !== text) node.textContent = text;
}

function setClass(node, name) {
  if (node.getAttribute('class') !== name) node.setAttribute('class', name);
}

function setHidden(node, hidden) {
  if (node.hidden !== hidden) node.hidden = hidden;
}

function setTime(node, at, text) {
  setText(node, text);
  if (node.at === at) return;
  node.at = at;
  node.dateTime = new Date(at * 1000).toISOString();
  node.title = wholeForm.format(at * 1000);
}

function timeNode(at, text = ago(at)) {
  const node = el('time');
  setTime(node, at, text);
  return node;
}

/* Makes the children of `parent` those of `items`, in order; nodes that stay are kept. */
function keyed(parent, items, keyOf, make, update) {
  const old = parent.byKey ?? new Map();
  const fresh = new Map();
  let next = parent.firstChild;
  for (const item of items) {
    const key = keyOf(item);
    const node = old.get(key) ?? make(item);
    fresh.set(key, node);
    old.delete(key);
    if (node === next) next = next.nextSibling;
    else parent.insertBefore(node, next);
    update(node, item);
  }
  for (const node of old.values()) node.remove();
  parent.byKey = fresh;
}

/* A stage is a colour and a shape: the outline, and the mark on it. */
const SHAPES = {
  disc: 'M9 1a8 8 0 1 1 0 16A8 8 0 0 1 9 1z',
  octagon: 'M5.7 1h6.6L17 5.7v6.6L12.3 17H5.7L1 12.3V5.7z',
  square: 'M3.5 2h11A1.5 1.5 0 0 1 16 3.5v11a1.5 1.5 0 0 1-1.5 1.5h-11A1.5 1.5 0 0 1 2 14.5v-11A1.5 1.5 0 0 1 3.5 2z',
  ring: 'M9 1.8a7.2 7.2 0 1 1 0 14.4A7.2 7.2 0 0 1 9 1.8z',
};
const GLYPHS = {
  succeeded: { shape: 'disc', mark: 'M5.4 9.3l2.5 2.5 4.8-5.3' },
  skipped: { shape: 'ring', hollow: true, mark: 'M5 6l3 3-3 3M9.5 6l3 3-3 3' },
  failed: { shape: 'octagon', mark: 'M6.2 6.2l5.6 5.6M11.8 6.2l-5.6 5.6' },
  running: { shape: 'disc', solid: 'M7 5.2v7.6l6-3.8z' },
  started: { shape: 'ring', hollow: true, solid: 'M7 5.2v7.6l6-3.8z' },
  pending: { shape: 'ring', hollow: true, mark: 'M9 5v4.2l2.6 1.6' },
  paused: { shape: 'square', mark: 'M7 6v6M11 6v6' },
  stopped: { shape: 'square', solid: 'M6 6h6v6H6z' },
  not_started: { shape: 'ring', hollow: true, mark: '' },
};

function svg(tag, props) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [key, value] of Object.entries(props)) node.setAttribute(key, value);
  return node;
}

/* Always beside its word, so that it needs no name of its own. */
function glyph(stage) {
  const node = svg('svg', { viewBox: '0 0 18 18', 'aria-hidden': 'true' });
  setGlyph(node, stage);
  return node;
}

function setGlyph(node, stage) {
  if (node.stage === stage) return;
  const { shape, hollow, mark, solid } = GLYPHS[stage] ?? GLYPHS.not_started;
  node.stage = stage;
  node.setAttribute('class', `glyph is-${stage} ${hollow ? 'hollow' : ''}`);
  node.replaceChildren(svg('path', { class: 'shape', d: SHAPES[shape] }),
    svg('path', solid ? { class: 'solid', d: solid } : { class: 'mark', d: mark }));
}

function button(word, does, kind = '') {
  return el('button', { type: 'button', class: kind, onclick: does }, word);
}

/* ---- what is known ------------------------------------------------------------------------- */

const state = {
  link: 'new',        // new, live, lost, denied
  lostAt: 0,
  skew: 0,            // the supervisor's clock before ours, s
  app: null,
  works: [],
  seen: 0,            // when the two were so
  away: true,         // nobody has looked for a while: calls were skipped unseen
  started: null,      // of the supervisor whose events are read
  lastEvent: '',      // where to go on
  filter: { text: '', only: 'all' },
  window: null,       // of the lanes, s
};

/* Runs by id, and by work for the lanes. `from`: earlier ones may be on record and are not here. */
const record = { runs: new Map(), lanes: new Map(), from: Infinity, oldest: Infinity };
const RUNS_MOST = 20000;

/* Time stands still while nothing is known. */
function now() {
  return (state.link === 'lost' ? state.lostAt : Date.now() / 1000) + state.skew;
}

const isOver = (stage) => stage === 'succeeded' || stage === 'failed' || stage === 'stopped';

function laneOf(work) {
  let lane = record.lanes.get(work);
  if (lane === undefined) {
    lane = { runs: [], sorted: true, skips: [], hits: null, from: Infinity, oldest: Infinity };
    record.lanes.set(work, lane);
  }
  return lane;
}

function forgetRecord() {
  record.runs.clear();
  record.lanes.clear();
  record.from = record.oldest = Infinity;
}

function runAt(id, work) {
  let run = record.runs.get(id);
  if (run !== undefined) return run;
  run = { id, work, stage: 'pending', created: null, started: null, ended: null, call: null };
  const lane = laneOf(work);
  lane.sorted &&= lane.runs.length === 0 || lane.runs.at(-1).id < id;
  lane.runs.push(run);
  record.runs.set(id, run);
  return run;
}

/* A row of the API. An event may have told more in the meantime. */
function keepRun(row) {
  const run = runAt(row.id, row.work);
  run.call = callText(row).slice(0, 300);
  run.created = row.created;
  if (isOver(run.stage) && !isOver(row.stage) && (row.started ?? row.created) < run.ended) return;
  Object.assign(run, { stage: row.stage, started: row.started, ended: row.ended });
}

function noteRun({ run: id, work, stage, at }) {
  const run = runAt(id, work);
  run.stage = stage;
  run.created ??= at;
  if (stage === 'running') run.started = at;
  run.ended = isOver(stage) ? at : null;
}

/* The oldest go when there are too many to hold. */
function limitRecord() {
  if (record.runs.size <= RUNS_MOST) return;
  const ids = [...record.runs.keys()].sort((a, b) => a - b).slice(0, RUNS_MOST / 4);
  for (const id of ids) record.runs.delete(id);
  for (const lane of record.lanes.values()) lane.runs = lane.runs.filter((run) => record.runs.has(run.id));
  record.oldest = ids.at(-1) + 1;
  record.from = record.runs.get(record.oldest)?.created ?? now();
}

/* Skipped calls are counted, not listed: a mark says how many between two looks. `hits` of a lane
 * are those that have marks, or had none to get: each gets one once, whoever tells of it first. */
function noteSkips(work, at, hits) {
  const lane = laneOf(work);
  if (lane.hits !== null && hits > lane.hits) lane.skips.push({ at, half: 0, calls: hits - lane.hits });
  lane.hits = Math.max(lane.hits ?? 0, hits);
  if (lane.skips.length > 2000) lane.skips.splice(0, 500);
}

/* The last hour as the supervisor has counted it, a mark a minute, instead of what was seen of it. */
function takeSkips({ every, from, works }) {
  const end = now();
  for (const lane of record.lanes.values()) lane.skips = lane.skips.filter((skip) => skip.at < from);
  for (const [name, { hits, skips }] of Object.entries(works)) {
    const lane = laneOf(name);
    lane.hits = hits;
    skips.forEach((calls, i) => {
      const start = from + i * every, half = Math.min(every, Math.max(0, end - start)) / 2;
      if (calls > 0) lane.skips.push({ at: start + half, half, calls });
    });
  }
}

function takeStatus({ app, works }) {
  const at = app.started + app.uptime;
  const same = state.app?.started === app.started;
  const before = new Map(same ? state.works.map((work) => [work.name, work]) : []);
  state.skew = at - Date.now() / 1000;
  if (!same) for (const lane of record.lanes.values()) lane.hits = null;
  for (const work of works) {
    noteSkips(work.name, at, work.hits ?? 0);
    work.load = loadOf(before.get(work.name), work, at - state.seen);
  }
  Object.assign(state, { app, works, seen: at });
  tellNews();
}

/* Share of a processor since the last look; null until there were two. */
function loadOf(old, work, seconds) {
  if (!old?.usage || !work.usage || seconds <= 0) return old?.load ?? null;
  if (seconds < 0.9) return old.load;
  return Math.max(0, (work.usage.cpu - old.usage.cpu) / seconds);
}

/* ---- the supervisor ------------------------------------------------------------------------- */

class Refusal extends Error {
  constructor(status, error) {
    super(error?.message ?? `the supervisor answered with status ${status}`);
    this.status = status;
    this.hint = error?.hint ?? null;
  }
}

/* `body`: a value, or JSON that is there already, as a text. */
async function api(method, path, body) {
  const response = await fetch(`/api/v1/${path}`, {
    method, cache: 'no-store',
    headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
    body: body === undefined || typeof body === 'string' ? body : write(body),
  });
  return answerOf(response);
}

async function answerOf(response) {
  const text = await response.text();
  let answer = null;
  try {
    answer = parse(text);
  } catch (error) {
    if (response.ok) throw error;
  }
  if (response.status === 401) deny();
  if (!response.ok) throw new Refusal(response.status, answer?.error);
  return answer;
}

const workPath = (name, rest = '') => `works/${encodeURIComponent(name)}${rest}`;

/* What can be read anew; a view adds its own. */
const reads = {
  async status() {
    const { app, columns, works } = await api('GET', 'status?brief=true&usage=true');
    takeStatus({ app, works: objectsOf(columns, works) });
  },
  async runs() {
    const limit = record.oldest === Infinity ? 500 : 100;
    const { runs } = await api('GET', `runs?brief=true&limit=${limit}`);
    if (record.oldest === Infinity) {
      noteOldest(record, runs, limit);
      chooseWindow(runs.at(-1)?.created ?? now());
    }
    runs.forEach(keepRun);
  },
  async skips() {
    takeSkips(await api('GET', 'skips'));
    state.away = false;
  },
};

/* Rows below columns as objects; what a row has not, they have not. */
function objectsOf(columns, rows) {
  return rows.map((row) => {
    const object = {};
    row.forEach((value, i) => {
      if (value !== null) object[columns[i]] = value;
    });
    return object;
  });
}

/* How far back a list of runs goes: to the start of the record when it is shorter than it may be. */
function noteOldest(place, runs, limit) {
  place.oldest = runs.at(-1)?.id ?? 1;
  place.from = runs.length < limit ? 0 : runs.at(-1).created;
}

/* At first the lanes show what there is, an hour at most. */
function chooseWindow(oldest) {
  state.window ??= WINDOWS.find(([seconds]) => seconds >= Math.min(HOUR, now() - oldest))[0];
}

const wanted = new Set();
let reading = false, readAt = 0, readTimer = 0;

/* To be read soon: one request at a time, and one a second. */
function want(...names) {
  names.forEach((name) => wanted.add(name));
  readNext();
}

async function readNext() {
  if (reading || readTimer !== 0 || wanted.size === 0 || state.link !== 'live' || document.hidden) return;
  const wait = readAt + 1000 - Date.now();
  if (wait > 0) {
    readTimer = setTimeout(() => { readTimer = 0; readNext(); }, wait);
    return;
  }
  const [name] = wanted;
  wanted.delete(name);
  reading = true;
  try {
    await readNow(name);
  } finally {
    reading = false;
  }
  readNext();
}

async function readNow(...names) {
  readAt = Date.now();
  const all = { ...reads, ...view.reads };
  try {
    await Promise.all(names.filter((name) => name in all).map((name) => all[name]()));
    state.link = 'live';
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof Refusal)) throw error;
    if (error instanceof TypeError || state.link !== 'live') lose();
    else view.refused?.(error);
  }
  draw();
}

/* ---- events: what moved ------------------------------------------------------------------------ */

let events = null;

const handlers = {
  hello({ started }) {
    if (state.started !== null && state.started !== started) anew();
    state.started = started;
  },
  run(event) {
    noteRun(event);
    view.onRun?.(event);
    want('status');
    if (record.runs.get(event.run).call === null) want('runs');
  },
  work(event) {
    view.onWork?.(event);
    want('status');
  },
  app() {
    want('status');
  },
  gap() {
    anew();
  },
};

function openEvents() {
  const after = state.lastEvent !== '' ? `?after=${encodeURIComponent(state.lastEvent)}` : '';
  closeEvents();
  events = new EventSource(`/api/v1/events${after}`);
  events.onerror = () => {
    closeEvents();
    retryTimer = setTimeout(connect, 500);
  };
  for (const [kind, handle] of Object.entries(handlers)) {
    events.addEventListener(kind, (event) => {
      if (event.lastEventId !== '') state.lastEvent = event.lastEventId;
      handle(parse(event.data));
      draw();
    });
  }
}

function closeEvents() {
  events?.close();
  events = null;
}

function anew() {
  state.lastEvent = '';
  forgetRecord();
  readNow('status', 'skips', 'runs', ...view.needs);
}

/* ---- lost and found ------------------------------------------------------------------------------ */

let retryTimer = 0;

async function connect() {
  clearTimeout(retryTimer);
  if (document.hidden || state.link === 'denied') return;
  const wasLost = state.link !== 'live';
  await readNow('status');
  if (state.link !== 'live') return;
  openEvents();
  const missed = [...(state.away || wasLost ? ['skips'] : []), ...(wasLost ? ['runs', ...view.needs] : [])];
  if (missed.length > 0) await readNow(...missed);
  if (wasLost) view.onFound?.();
}

function lose() {
  closeEvents();
  if (state.link === 'denied') return;
  if (state.link !== 'lost') {
    state.lostAt = Date.now() / 1000;
    say('The connection to the supervisor is lost.');
  }
  state.link = 'lost';
  clearTimeout(retryTimer);
  retryTimer = setTimeout(connect, 1500);
}

function deny() {
  state.link = 'denied';
  closeEvents();
  go();
}

function onVisibility() {
  if (document.hidden) {
    state.away = true;
    closeEvents();
    clearTimeout(retryTimer);
    view.pause?.();
  } else {
    connect().then(() => view.onFound?.());
  }
}

/* ---- what is well and what is not ------------------------------------------------------------------ */

const processesOf = (work) => work.processes ?? ('state' in work ? [work] : []);

/* The process that cannot be kept up, if there is one. */
function brokenProcess(work) {
  return processesOf(work).find((process) => process.state === 'failed' ||
    (process.state === 'waiting to restart' && (process.error || process.last_death)));
}

/* How a work looks: its stage, unless something else matters more. */
function faceOf(work) {
  if (brokenProcess(work)) return 'failed';
  if (work.held) return 'stopped';
  if (work.paused) return 'paused';
  return work.stage;
}

const isTroubled = (work) => faceOf(work) === 'failed';

function processSays({ state: word, error, last_death: death, next_try: next }) {
  const reason = error || death;
  return `process ${word}${reason ? `: ${reason}` : ''}${next ? `; next try in ${span(next)}` : ''}`;
}

function runningRun(work) {
  return laneOf(work.name).runs.findLast((run) => run.stage === 'running');
}

function runningSays(work) {
  const run = runningRun(work);
  const progress = progressOf(work);
  const since = run?.started ?? work.since;
  return [run?.call || 'running', work.ready === false ? 'not ready yet' : null, progress !== null ? `${Math.round(progress * 100)} %` : null, since ? `for ${span(now() - since)}` : null]
    .filter(Boolean).join(' · ');
}

function progressOf(work) {
  const told = processesOf(work).map((process) => process.progress).filter((progress) => progress !== null && progress !== undefined);
  return told.length === 1 ? told[0] : null;
}

/* One line: what the work does now, or how it ended. */
function workSays(work) {
  const broken = brokenProcess(work);
  if (broken) return processSays(broken);
  if (work.held) return 'stopped by an operator, until it is started';
  if (work.paused) return `paused by ${work.paused.by}`;
  switch (work.stage) {
    case 'running': return runningSays(work);
    case 'failed': return `failed ${ago(work.since)}: ${work.message || work.reason || 'no reason given'}`;
    case 'succeeded': return `succeeded ${ago(work.since)}`;
    case 'stopped': return `${work.reason || 'stopped'} ${ago(work.since)}`;
    case 'pending': return `waiting${work.reason ? `: ${work.reason}` : ''} for ${span(now() - work.since)}`;
    default: return work.stage === 'not_started' ? 'was not called yet' : work.stage;
  }
}

/* The answer at one glance. Rows in order: what comes first matters most. */
function verdict() {
  const { app, works } = state;
  const troubled = works.filter(isTroubled);
  const running = works.filter((work) => work.stage === 'running').length;
  if (app.journal?.error) return { face: 'failed', word: 'Nothing starts', text: `The record cannot be written: ${app.journal.error}` };
  if (app.stage === 'failed') return { face: 'failed', word: 'The app has failed', text: app.reason ?? '' };
  if (troubled.length > 0) {
    const first = troubled.length === 1 ? 'is in trouble' : `and ${count(troubled.length - 1, 'other')} are in trouble`;
    return { face: 'failed', word: `${troubled[0].name} ${first}`, work: troubled[0], text: workSays(troubled[0]) };
  }
  if (app.paused) return { face: 'paused', word: 'Paused', text: `by ${app.paused.by}, ${ago(app.paused.at)}: no passes, what runs goes on` };
  if (app.stage !== 'running') return { face: 'pending', word: `The app is ${app.stage}`, text: app.reason ?? '' };
  return { face: 'succeeded', word: 'All is well', text: running > 0 ? `${count(running, 'work is', 'works are')} running` : 'Nothing has to run now.' };
}

let lastNews = '';

/* For who listens to the page: only when trouble comes or goes. */
function tellNews() {
  const { face, word } = verdict();
  const news = face === 'failed' ? word : 'All is well';
  if (lastNews !== '' && news !== lastNews) say(news);
  lastNews = news;
}

function say(text) {
  document.getElementById('news').textContent = text;
}

/* ---- the lanes: runs over time ----------------------------------------------------------------------- */

const WINDOWS = [[5 * MINUTE, '5 min'], [HOUR, '1 h'], [6 * HOUR, '6 h'], [DAY, '24 h'], [7 * DAY, '7 d']];
const STEPS = [10, 30, MINUTE, 2 * MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, DAY];
const BARS = { pending: 2, succeeded: 12, stopped: 12, running: 12, failed: 20 };

let palette = null;

function colours() {
  if (palette === null) {
    const style = getComputedStyle(document.documentElement);
    palette = Object.fromEntries(['line', 'soft', 'faint', 'accent', 'succeeded', 'skipped', 'failed', 'stopped', 'waiting', 'card', 'hover']
      .map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    Object.assign(palette, { running: palette.accent, pending: palette.waiting, font: style.fontFamily });
  }
  return palette;
}

/* The canvas in pixels of the screen, emptied. Null while it is not shown. */
function brush(canvas) {
  const width = canvas.clientWidth, height = canvas.clientHeight, dense = window.devicePixelRatio || 1;
  if (width === 0 || height === 0) return null;
  if (canvas.width !== Math.round(width * dense) || canvas.height !== Math.round(height * dense)) {
    canvas.width = Math.round(width * dense);
    canvas.height = Math.round(height * dense);
  }
  const pen = canvas.getContext('2d');
  pen.setTransform(dense, 0, 0, dense, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

/* Where the lines of the grid stand: at round local times, 70 pixels apart at least. */
function gridTimes(width, end) {
  const step = STEPS.find((seconds) => seconds * width / state.window >= 70) ?? DAY;
  const zone = new Date(end * 1000).getTimezoneOffset() * MINUTE;
  const times = [];
  for (let at = end - (end - zone) % step; at > end - state.window; at -= step) times.push(at);
  return { step, times };
}

function drawAxis(canvas) {
  const drawn = brush(canvas);
  if (drawn === null || state.window === null) return;
  const { pen, width, height } = drawn;
  const end = now();
  const { step, times } = gridTimes(width, end);
  const form = step < MINUTE ? clockForm : undefined;
  pen.font = `12px ${colours().font}`;
  pen.fillStyle = colours().soft;
  pen.textBaseline = 'middle';
  for (const at of times) {
    const x = width - (end - at) / state.window * width;
    const text = form ? form.format(at * 1000) : gridLabel(at, step);
    const half = pen.measureText(text).width / 2;
    if (x - half > 0 && x + half < width - 30) pen.fillText(text, x - half, height / 2);
  }
  pen.textAlign = 'right';
  pen.fillText('now', width, height / 2);
  pen.textAlign = 'left';
}

function gridLabel(at, step) {
  const date = new Date(at * 1000);
  return step >= DAY || (date.getHours() === 0 && date.getMinutes() === 0)
    ? date.toLocaleDateString(undefined, { month: 'short', day: 'numeric' }) : clockForm.format(date).slice(0, 5);
}

/* Left and right end of a run, in pixels; null when it is out of sight. */
function reach(run, end, width) {
  const from = run.started ?? run.created, to = isOver(run.stage) ? run.ended : end;
  if (from === null || to < end - state.window || from > end) return null;
  const x = (at) => width - (end - at) / state.window * width;
  const left = Math.max(0, x(from));
  return [left, Math.max(left + (run.stage === 'failed' ? 4 : 3), Math.min(width, x(to)))];
}

function drawLane(canvas, name) {
  const drawn = brush(canvas);
  if (drawn === null || state.window === null) return;
  const { pen, width, height } = drawn;
  const end = now(), lane = laneOf(name), middle = Math.round(height / 2) - 2;
  if (!lane.sorted) lane.runs.sort((a, b) => a.id - b.id);
  lane.sorted = true;
  drawGround(pen, lane, width, height, end);
  const shown = {};
  for (const stage of ['pending', 'succeeded', 'stopped', 'running', 'failed'])
    shown[stage] = drawBars(pen, lane.runs.filter((run) => run.stage === stage), stage, middle, width, end);
  const skipped = drawSkips(pen, lane.skips, width, height, end);
  const parts = Object.entries({ ...shown, skipped }).filter(([, number]) => number > 0).map(([stage, number]) => `${number} ${stage}`);
  canvas.setAttribute('aria-label', `${name}, last ${windowWord()}: ${parts.join(', ') || 'no runs'}`);
}

const windowWord = () => WINDOWS.find(([seconds]) => seconds === state.window)[1];

/* The grid, and where nothing is known. */
function drawGround(pen, lane, width, height, end) {
  pen.fillStyle = colours().line;
  for (const at of gridTimes(width, end).times)
    pen.fillRect(Math.round(width - (end - at) / state.window * width), 0, 1, height);
  const known = width - (end - Math.min(record.from, lane.from)) / state.window * width;
  if (known <= 0 || known === -Infinity) return;
  pen.strokeStyle = colours().line;
  pen.beginPath();
  for (let x = -height; x < Math.min(known, width); x += 7) {
    pen.moveTo(Math.max(0, x), Math.min(height, height + x));
    const right = Math.min(x + height, known, width);
    pen.lineTo(right, height - (right - x));
  }
  pen.stroke();
}

function drawBars(pen, runs, stage, middle, width, end) {
  const tall = BARS[stage];
  let number = 0, last = '';
  pen.fillStyle = pen.strokeStyle = colours()[stage];
  for (const run of runs) {
    const ends = reach(run, end, width);
    if (ends === null) continue;
    number++;
    const [left, right] = ends.map(Math.round);
    if (`${left} ${right}` === last) continue;
    last = `${left} ${right}`;
    drawBar(pen, stage, left, right - left, middle - tall / 2, tall);
  }
  return number;
}

/* Each stage has a shape of its own: a hollow bar was stopped, a tall one failed. */
function drawBar(pen, stage, x, width, y, tall) {
  const gap = width > 6 ? 1 : 0;
  if (stage === 'stopped') pen.strokeRect(x + 0.75, y + 0.75, Math.max(1.5, width - 1.5), tall - 1.5);
  else if (tall > 4 && width > 5) roundBar(pen, x, y, width - gap, tall, 3);
  else pen.fillRect(x, y, width, tall);
  if (stage !== 'running') return;
  pen.fillStyle = colours().card;
  for (let at = x + 6; at + 3 < x + width; at += 8) pen.fillRect(at, y + tall / 2 - 1, 3, 2);
  pen.fillStyle = colours().running;
}

function roundBar(pen, x, y, width, tall, radius) {
  pen.beginPath();
  pen.roundRect(x, y, width, tall, radius);
  pen.fill();
}

function drawSkips(pen, skips, width, height, end) {
  let calls = 0;
  let last = -Infinity;
  pen.fillStyle = colours().skipped;
  for (const skip of skips) {
    const x = Math.round(width - (end - skip.at) / state.window * width);
    if (x < 0) continue;
    calls += skip.calls;
    drawSpan(pen, x, skip.half / state.window * width, height);
    if (x - last < 4) continue;
    pen.fillRect(x - 2, height - 6, 2, 6);
    last = x;
  }
  return calls;
}

/* The time that a mark speaks of, where that is long enough to be seen. */
function drawSpan(pen, x, half, height) {
  const left = Math.max(0, Math.round(x - half));
  if (half > 4) pen.fillRect(left, height - 2, Math.round(x + half) - left - 2, 2);
}

/* What lies under the pointer: a run, else a mark of skipped calls. */
function laneHit(canvas, name, event) {
  const box = canvas.getBoundingClientRect(), end = now();
  const x = event.clientX - box.left, width = box.width;
  let best = null, least = 8;
  for (const run of laneOf(name).runs) {
    const ends = reach(run, end, width);
    if (ends === null) continue;
    const far = Math.max(ends[0] - x, x - ends[1], 0) + (run.stage === 'failed' ? -0.5 : 0);
    if (far <= least) [best, least] = [run, far];
  }
  const at = end - (width - x) / width * state.window;
  const skip = laneOf(name).skips.findLast((mark) => Math.abs(mark.at - at) < Math.max(mark.half, 5 * state.window / width));
  return event.clientY - box.top > box.height - 9 && skip ? { skip } : best ? { run: best } : skip ? { skip } : null;
}

function laneTip(hit) {
  if (hit.skip) return skipTip(hit.skip);
  const { run } = hit;
  const took = run.started && run.ended ? `, took ${span(run.ended - run.started)}` : '';
  return `run ${run.id} ${run.stage}${took}\n${dayForm.format((run.started ?? run.created) * 1000)}${run.call ? `\n${run.call}` : ''}`;
}

function skipTip({ at, half, calls }) {
  const times = half > 0 ? [at - half, at + half] : [at];
  return `${count(calls, 'call')} skipped: nothing had changed\n${times.map((time) => clockForm.format(time * 1000)).join(' – ')}`;
}

function laneCanvas(nameOf, kind = '') {
  const tip = document.getElementById('tip');
  const canvas = el('canvas', {
    class: kind, role: 'img',
    onpointermove(event) {
      const hit = event.pointerType === 'touch' ? null : laneHit(canvas, nameOf(), event);
      setHidden(tip, hit === null);
      if (hit === null) return;
      setText(tip, laneTip(hit));
      tip.style.left = `${Math.min(event.clientX + 12, innerWidth - tip.offsetWidth - 8)}px`;
      tip.style.top = `${Math.min(event.clientY + 16, innerHeight - tip.offsetHeight - 8)}px`;
    },
    onpointerleave() { setHidden(tip, true); },
    onclick(event) {
      const hit = laneHit(canvas, nameOf(), event);
      setHidden(tip, true);
      if (hit?.run) location.hash = `#/run/${hit.run.id}`;
    },
  });
  return canvas;
}

/* Which part of time is looked at, and what is not here yet. */
function windowTools(place, more) {
  const choice = el('div', { class: 'choice', role: 'group', 'aria-label': 'Time shown' }, ...WINDOWS.map(([seconds, word]) =>
    button(word, () => { state.window = seconds; draw(); })));
  const earlier = button('Load earlier runs', async () => {
    earlier.disabled = true;
    await attempt(more);
    earlier.disabled = false;
    draw();
  }, 'plain');
  const update = () => {
    WINDOWS.forEach(([seconds], i) => choice.children[i].setAttribute('aria-pressed', seconds === state.window));
    const from = Math.min(record.from, place().from);
    setHidden(earlier, from === Infinity || from <= now() - state.window);
  };
  return { choice, earlier, update };
}

async function loadEarlier() {
  const { runs } = await api('GET', `runs?brief=true&limit=1000&before=${record.oldest}`);
  noteOldest(record, runs, 1000);
  runs.forEach(keepRun);
}

/* ---- rows of one height, of which only those in sight exist ---------------------------------------------- */

function windowed(container, make, update) {
  let items = [];
  const draw = () => {
    const height = parseFloat(getComputedStyle(container).getPropertyValue('--row'));
    const top = container.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(-top / height) - 4);
    const last = Math.min(items.length, Math.ceil((innerHeight - top) / height) + 4);
    const shown = [];
    for (let i = first; i < last; i++) shown.push({ item: items[i], at: i });
    container.style.height = `${items.length * height}px`;
    keyed(container, shown, ({ item }) => item.name, ({ item }) => make(item), (node, { item, at }) => {
      node.style.transform = `translateY(${at * height}px)`;
      node.setAttribute('aria-rowindex', at + 2);
      update(node, item);
    });
  };
  return {
    draw,
    set(list) {
      items = list;
      draw();
    },
    focus(step) {
      const at = items.findIndex((item) => container.byKey.get(item.name)?.contains(document.activeElement));
      const next = Math.max(0, Math.min(items.length - 1, at + step));
      if (items.length === 0) return;
      const height = container.offsetHeight / items.length;
      const top = container.getBoundingClientRect().top + next * height;
      if (top < 60 || top + height > innerHeight) scrollBy(0, top - innerHeight / 2);
      draw();
      container.byKey.get(items[next].name).querySelector('a').focus({ preventScroll: true });
    },
  };
}

/* ---- the overview -------------------------------------------------------------------------------------------- */

const FILTERS = [
  ['all', 'All', () => true],
  ['running', 'Running', (work) => work.stage === 'running'],
  ['waiting', 'Waiting', (work) => (work.queue ?? 0) > 0 || work.stage === 'pending'],
  ['trouble', 'Trouble', isTroubled],
];

function overview() {
  const head = verdictHead();
  const facts = appFacts();
  const tools = workTools();
  const axis = el('canvas', { class: 'axis', 'aria-hidden': 'true' });
  const rows = el('div', { class: 'rows', role: 'rowgroup' });
  const none = el('p', { class: 'none' });
  const table = el('div', { class: 'card works', role: 'table', 'aria-label': 'Works' },
    el('div', { class: 'columns', role: 'row', 'aria-rowindex': 1 }, ...['Work', 'Process', 'Waiting', 'Ran, skipped'].map((word, i) =>
      el('div', { role: 'columnheader', class: ['', 'process', 'queue number', 'counts number'][i] }, word)),
    el('div', { role: 'columnheader', class: 'axis', 'aria-label': 'Runs over time' }, axis)), rows, none);
  const list = windowed(rows, makeRow, updateRow);

  return {
    nodes: [head.node, facts.node, tools.node, table, legend()],
    title: () => state.app?.name,
    needs: ['runs'],
    polls: ['status'],
    scrolled: list.draw,
    search: tools.search,
    step: list.focus,
    update() {
      if (state.app === null) return;
      head.update();
      facts.update();
      tools.update();
      const found = worksFound();
      table.setAttribute('aria-rowcount', found.length + 1);
      setHidden(none, found.length > 0);
      setText(none, state.works.length === 0 ? 'The app has no works yet.' : 'No work is like that.');
      drawAxis(axis);
      list.set(found);
    },
  };
}

function worksFound() {
  const [, , fits] = FILTERS.find(([key]) => key === state.filter.only);
  const text = state.filter.text.toLowerCase();
  return state.works.filter((work) => fits(work) && work.name.toLowerCase().includes(text));
}

function verdictHead() {
  const mark = glyph('not_started'), word = el('h1'), text = el('a');
  return {
    node: el('section', { class: 'verdict', 'aria-label': 'Is all well?' }, mark, word, el('p', {}, text)),
    update() {
      const says = verdict();
      setGlyph(mark, says.face);
      setText(word, says.word);
      setText(text, says.text);
      if (says.work) text.href = workLink(says.work.name);
      else text.removeAttribute('href');
    },
  };
}

const workLink = (name) => `#/work/${encodeURIComponent(name)}`;

/* One fact: what it is, what it is now, and a line more. */
function fact(word) {
  const value = el('dd', { class: 'cut' }), more = el('dd', { class: 'cut' });
  return { node: el('div', {}, el('dt', {}, word), value, more), value, more };
}

function setFact({ value, more }, text, under = '') {
  setText(value, text);
  setText(more, under);
}

function appFacts() {
  const up = fact('Up for'), pass = fact('Last pass'), next = fact('Next'), kept = fact('On record'), steer = fact('Steer');
  const pause = button('', () => ACTIONS.pauseApp(), 'plain');
  steer.value.append(pause);
  steer.more.append(button('State', showState, 'plain'), button('Reload…', () => ACTIONS.reload(), 'plain'), button('Stop app…', () => ACTIONS.stopApp(), 'plain'));
  steer.node.classList.add('steer');
  const all = [up, pass, next, kept, steer];
  return {
    node: el('dl', { class: 'facts' }, ...all.map(({ node }) => node)),
    update() {
      const { app } = state;
      setFact(up, span(now() - app.started), `version ${app.version}, pid ${app.pid}`);
      up.value.title = wholeForm.format(app.started * 1000);
      passFact(pass, app);
      nextFact(next, app.schedule ?? []);
      setHidden(next.node, (app.schedule ?? []).length === 0);
      setFact(kept, count(app.calls_remembered, 'call'), `${bytes(app.journal.bytes)}${app.journal.waiting > 0 ? `, ${bytes(app.journal.waiting)} to be written` : ''}`);
      setText(pause, app.paused ? 'Resume passes' : 'Pause passes');
      setHidden(pause, !('paused' in app) || !app.flow);
    },
  };
}

/* Read with the status: as old as that is, not older by the second. */
function passFact(pass, app) {
  if (!app.flow) return setFact(pass, 'no flow', 'its works are services');
  if (!app.last_pass) return setFact(pass, 'none yet');
  const { at, took, trigger } = app.last_pass;
  pass.value.title = wholeForm.format(at * 1000);
  return setFact(pass, `took ${span(took)}`, `${clockForm.format(at * 1000)}, for: ${trigger}`);
}

function nextFact(next, schedule) {
  const marks = schedule.filter(({ next: at }) => at).sort((a, b) => a.next - b.next);
  if (marks.length === 0) return setFact(next, 'nothing planned');
  const others = marks.length > 1 ? `, and ${marks.length - 1} more` : '';
  next.value.title = marks.map((mark) => `${mark.mark}: ${wholeForm.format(mark.next * 1000)}`).join('\n');
  return setFact(next, `in ${span(Math.max(0, marks[0].next - now()))}`, `${marks[0].mark}${others}`);
}

function workTools() {
  const search = el('input', { type: 'search', placeholder: 'Find a work', 'aria-label': 'Find a work', oninput() { state.filter.text = search.value; draw(); } });
  const counts = FILTERS.map(() => el('b'));
  const choice = el('div', { class: 'choice', role: 'group', 'aria-label': 'Which works' }, ...FILTERS.map(([key, word], i) => {
    const node = button(`${word} `, () => { state.filter.only = key; draw(); });
    node.append(counts[i]);
    return node;
  }));
  const times = windowTools(() => record, loadEarlier);
  search.value = state.filter.text;
  return {
    search,
    node: el('div', { class: 'tools' }, choice, search, el('div', { class: 'right' }, times.earlier, times.choice)),
    update() {
      FILTERS.forEach(([key, , fits], i) => {
        setText(counts[i], numberForm.format(state.works.filter(fits).length));
        choice.children[i].setAttribute('aria-pressed', state.filter.only === key);
      });
      times.update();
    },
  };
}

function makeRow(work) {
  const p = {
    mark: glyph(work.stage), stage: el('span', { class: 'unseen' }), name: el('a', { href: workLink(work.name) }, work.name),
    now: el('div', { class: 'now cut' }), pid: el('div', { class: 'cut' }), cost: el('div', { class: 'second cut' }),
    queue: el('div', { class: 'queue number', role: 'cell' }), ran: el('div', {}), skipped: el('div', { class: 'second' }),
    lane: laneCanvas(() => work.name), bar: el('div', { class: 'bar' }),
  };
  const node = el('div', { class: 'row', role: 'row' },
    el('div', { class: 'what', role: 'cell' }, p.mark, el('div', { class: 'cut' }, p.name, p.stage), p.now, el('div', { class: 'progress' }, p.bar)),
    el('div', { class: 'process', role: 'cell' }, p.pid, p.cost), p.queue,
    el('div', { class: 'counts number', role: 'cell' }, p.ran, p.skipped),
    el('div', { class: 'time', role: 'cell' }, p.lane));
  node.parts = p;
  return node;
}

function updateRow({ parts: p }, work) {
  const face = faceOf(work), progress = progressOf(work);
  setGlyph(p.mark, face);
  setText(p.stage, `, ${face.replace('_', ' ')}`);
  setText(p.now, workSays(work));
  p.now.title = work.message ?? '';
  setClass(p.now, `now cut ${face === 'failed' ? 'bad' : ''}`);
  setText(p.pid, processText(work));
  setText(p.cost, costText(work));
  setText(p.queue, work.queue ? numberForm.format(work.queue) : '');
  setText(p.ran, work.misses ? `${numberForm.format(work.misses)} ran` : '');
  setText(p.skipped, work.hits ? `${numberForm.format(work.hits)} skipped` : '');
  setHidden(p.bar.parentNode, progress === null);
  if (progress !== null) p.bar.style.transform = `scaleX(${progress})`;
  drawLane(p.lane, work.name);
}

function processText(work) {
  const up = processesOf(work).filter((process) => process.pid);
  if (up.length === 0) return (processesOf(work)[0]?.state ?? 'down').replace(/^down$/, 'no process');
  return up.length === 1 ? `pid ${up[0].pid}` : count(up.length, 'process', 'processes');
}

function costText({ usage, load }) {
  if (!usage || usage.processes === 0) return '';
  return `${load === null ? '–' : `${Math.round(load * 100)} %`} · ${bytes(usage.memory)}`;
}

function legend() {
  const marks = [['succeeded', 'succeeded'], ['running', 'running'], ['failed', 'failed'], ['stopped', 'stopped'], ['pending', 'waiting'], ['skipped', 'skipped: nothing had changed']];
  const node = el('div', { class: 'legend', 'aria-hidden': 'true' }, ...marks.map(([, word]) => el('span', {}, el('canvas'), word)));
  requestAnimationFrame(() => marks.forEach(([stage], i) => {
    const drawn = brush(node.children[i].firstChild);
    if (drawn === null) return;
    drawn.pen.fillStyle = drawn.pen.strokeStyle = colours()[stage];
    if (stage === 'skipped') [3, 9, 15].forEach((x) => drawn.pen.fillRect(x, 9, 2, 6));
    else drawBar(drawn.pen, stage, 1, 20, 10 - BARS[stage] / 2, BARS[stage]);
  }));
  return node;
}

/* ---- a work ----------------------------------------------------------------------------------------------------- */

function workView(name) {
  const here = { work: null, runs: [], more: false, gone: false };
  const head = workHead(name, here);
  const times = windowTools(() => laneOf(name), earlierRuns);
  const axis = el('canvas', { class: 'axis', 'aria-hidden': 'true' }), bars = laneCanvas(() => name, 'bars');
  const calls = callsPanel(here), list = runsPanel(here, earlierRuns), processes = processesPanel(here);
  const counts = countsPanel(here), values = statePanel(here), statuses = statusesPanel(here);
  const panels = [calls, list, processes, counts, values, statuses];
  const output = outputPanel({ path: workPath(name, '/logs'), follow: true, later: true });
  const lane = el('section', { class: 'card lane', hidden: true }, el('div', { class: 'tools' }, el('h2', {}, 'Runs over time'), el('div', { class: 'right' }, times.earlier, times.choice)), axis, bars);
  const body = columns([calls, list, processes, counts], [output, values, statuses]);
  body.hidden = true;

  async function readList(before) {
    const limit = before ? 200 : 50;
    const { runs } = await api('GET', workPath(name, `/runs?brief=true&limit=${limit}${before ? `&before=${before}` : ''}`));
    const known = new Map([...here.runs, ...runs].map((run) => [run.id, run]));
    if (before || here.runs.length === 0) noteOldest(laneOf(name), runs, limit);
    here.runs = [...known.values()].sort((a, b) => b.id - a.id);
    here.more = laneOf(name).from > 0;
    runs.forEach(keepRun);
  }
  async function earlierRuns() {
    await readList(here.runs.at(-1)?.id);
  }
  async function readWork() {
    const old = here.work, at = now();
    here.work = await api('GET', workPath(name, '?usage=true'));
    here.work.load = loadOf(old && { usage: old.usage, load: old.load }, here.work, at - here.at);
    here.at = at;
    noteSkips(name, at, here.work.hits);
    if (lane.hidden) await show();
  }
  /* Nothing is asked for, and nothing is shown, of a work that may not be there. */
  async function show() {
    here.gone = lane.hidden = body.hidden = false;
    output.restart();
    await readList();
  }
  function refused(error) {
    if (error.status === 404) {
      output.stop();
      here.work = null;
      here.gone = lane.hidden = body.hidden = true;
    }
    head.refused(error, here.gone);
  }

  return {
    nodes: [head.node, lane, body],
    title: () => name,
    get needs() { return lane.hidden ? ['work'] : ['work', 'list']; },
    get polls() { return here.gone ? [] : ['work']; },
    reads: { work: readWork, list: async () => { if (!lane.hidden) await readList(); } },
    refused,
    search: output.search,
    action: head.action,
    onRun(event) { if (event.work === name) want('work', 'list'); },
    onWork(event) { if (event.work === name) want('work'); },
    onFound() { if (!lane.hidden) output.restart(); },
    pause: output.stop,
    leave: output.stop,
    toggleFollow() { if (!lane.hidden) output.toggleFollow(); },
    update() {
      if (here.work === null) return;
      times.update();
      drawAxis(axis);
      drawLane(bars, name);
      head.update();
      panels.forEach((one) => one.update());
    },
  };
}

/* Side by side, or one below the other where there is no room. */
function columns(left, right) {
  return el('div', { class: 'split' }, ...[left, right].map((panels) => el('div', {}, ...panels.map(({ node }) => node))));
}

/* Buttons of a work: [action, word, kind, when it is there, when it can be pressed] */
const WORK_BUTTONS = [
  ['run', 'Run…', 'main', () => true, () => true],
  ['start', 'Start', '', (work) => work.held || !isUp(work), () => true],
  ['stop', 'Stop…', 'danger', (work) => !work.held, () => true],
  ['restart', 'Restart…', '', () => true, () => true],
  ['kill', 'Kill…', 'danger', () => true, isUp],
  ['pause', 'Pause', '', (work) => 'paused' in work && !work.paused, () => true],
  ['resume', 'Resume', '', (work) => Boolean(work.paused), () => true],
  ['signal', 'Signal…', '', () => true, isUp],
  ['retryAll', 'Retry failed…', '', () => true, () => true],
  ['forgetAll', 'Forget…', '', () => true, () => true],
];

function isUp(work) {
  return processesOf(work).some((process) => process.pid);
}

function workHead(name, here) {
  const mark = glyph('not_started'), says = el('p', { class: 'says' });
  const buttons = WORK_BUTTONS.map(([action, word, kind]) => button(word, () => ACTIONS[action](here.work), kind));
  const bar = el('div', { class: 'buttons', hidden: true }, ...buttons);
  return {
    node: el('section', { class: 'head' }, el('a', { class: 'back', href: '#/' }, '← All works'), el('div', { class: 'title' }, mark, el('h1', {}, name)), says, bar),
    action(wanted) {
      const i = WORK_BUTTONS.findIndex(([action]) => action === wanted);
      if (here.work !== null && !buttons[i].hidden && !buttons[i].disabled) buttons[i].click();
    },
    refused(error, gone) {
      setText(says, `${error.message}${error.hint ? ` (${error.hint})` : ''}`);
      if (!gone) return;
      setGlyph(mark, 'not_started');
      setClass(says, 'says');
      setHidden(bar, true);
    },
    update() {
      const { work } = here, face = faceOf(work);
      setGlyph(mark, face);
      setText(says, workSays(work));
      setClass(says, `says ${face === 'failed' ? 'bad' : ''}`);
      setHidden(bar, false);
      WORK_BUTTONS.forEach(([, , , there, ready], i) => {
        setHidden(buttons[i], !there(work));
        buttons[i].disabled = state.link !== 'live' || !ready(work);
      });
    },
  };
}

function panel(word, ...children) {
  const title = el('h2', {}, word), header = el('header', {}, title);
  return { node: el('section', { class: 'card panel', 'aria-label': word }, header, ...children), header, title };
}

/* What the flow asked for last, and why that ran or did not. */
function callsPanel(here) {
  const list = el('ul', { class: 'list' });
  const { node } = panel('Latest calls', list);
  node.classList.add('first');
  return {
    node,
    update() {
      const calls = here.work.calls ?? [];
      setHidden(node, calls.length === 0);
      keyed(list, calls, (call) => `${call.run} ${callText(call)}`, makeItem, (item, call) => {
        const face = call.decision === 'hit' ? 'skipped' : call.stage ?? 'pending';
        updateItem(item, { face, href: call.run ? `#/run/${call.run}` : null, call: callText(call),
          end: `${call.count > 1 ? `${numberForm.format(call.count)} × · ` : ''}${call.at ? ago(call.at) : ''}`, at: call.at,
          under: reasonText(call), bad: call.decision === 'held' });
      });
    },
  };
}

const DECISIONS = { hit: 'skipped', join: 'joined', held: 'held', run: 'ran' };

/* "hit: succeeded as run 812" to "skipped: succeeded as run 812" */
function reasonText({ decision, why }) {
  const word = DECISIONS[decision] ?? decision;
  const reason = (why ?? '').replace(/^(hit: |held: |runs: |joined )/, '');
  return reason ? `${word}: ${reason}` : word;
}

function makeItem() {
  const p = { mark: glyph('not_started'), call: el('a', { class: 'call cut' }), end: el('time', { class: 'end' }), under: el('div', { class: 'under cut' }) };
  const node = el('li', {}, p.mark, p.call, p.end, p.under);
  node.parts = p;
  return node;
}

function updateItem({ parts: p }, { face, href, call, end, at, under, bad }) {
  setGlyph(p.mark, face);
  setText(p.call, call || 'no arguments');
  if (href) p.call.href = href;
  if (at) setTime(p.end, at, end);
  else setText(p.end, end);
  setText(p.under, under);
  p.under.title = under;
  setClass(p.under, `under cut ${bad ? 'bad' : ''}`);
}

function runsPanel(here, earlierRuns) {
  const list = el('ul', { class: 'list long' }), none = el('p', { class: 'none' }, 'Nothing ran yet.');
  const more = button('Load earlier runs', () => attempt(earlierRuns), 'plain');
  const foot = el('div', { class: 'more' }, more);
  const { node } = panel('Runs', list, none, foot);
  node.classList.add('first');
  return {
    node,
    update() {
      setHidden(none, here.runs.length > 0);
      setHidden(foot, !here.more);
      keyed(list, here.runs, (run) => run.id, makeItem, (item, run) => updateItem(item, runItem(run)));
    },
  };
}

function runItem(run) {
  const took = run.started ? span((run.ended ?? now()) - run.started) : '';
  const tries = run.attempt > 1 ? `, attempt ${run.attempt}` : '';
  const progress = run.progress !== null && run.stage === 'running' ? `, ${Math.round(run.progress * 100)} %` : '';
  return { face: run.stage, href: `#/run/${run.id}`, call: callText(run), end: `run ${run.id} · ${ago(run.ended ?? run.started ?? run.created)}`,
    at: run.ended ?? run.started ?? run.created, bad: run.stage === 'failed',
    under: run.stage === 'failed' ? run.error ?? 'failed' : `${run.stage}${took ? `, ${isOver(run.stage) ? 'took' : 'for'} ${took}` : ''}${progress}${tries}` };
}

function processesPanel(here) {
  const body = el('tbody');
  const head = el('tr', {}, ...['Pid', 'State', 'Since', 'Starts'].map((word) => el('th', { scope: 'col' }, word)));
  const { node } = panel('Processes', el('div', { class: 'wide' }, el('table', {}, el('thead', {}, head), body)));
  return {
    node,
    update() {
      keyed(body, here.work.processes, (process) => process.id, () => el('tr', {}, el('td'), el('td'), el('td', {}, el('time')), el('td')), (row, process) => {
        const [pid, word, since, starts] = row.children;
        setText(pid, process.pid === null ? '–' : String(process.pid));
        setText(word, [process.state, process.run ? `with run ${process.run}` : null, process.error ?? (process.pid === null ? process.last_death : null),
          process.next_try !== null ? `next try in ${span(process.next_try)}` : null].filter(Boolean).join(', '));
        if (process.since) setTime(since.firstChild, process.since, ago(process.since));
        setText(starts, String(process.starts));
      });
    },
  };
}

function countsPanel(here) {
  const facts = el('dl', { class: 'facts' });
  const { node } = panel('Counts', facts);
  const rows = {
    waiting: fact('Waiting'), ran: fact('Ran'), skipped: fact('Skipped'), cost: fact('Cost'), settings: fact('Calls are'), url: fact('Listens at'),
  };
  facts.append(...Object.values(rows).map((row) => row.node));
  return {
    node,
    update() {
      const { work } = here, saved = work.seconds_saved;
      setFact(rows.waiting, numberForm.format(work.queue), `${work.runs.running} running`);
      setFact(rows.ran, numberForm.format(work.misses), `${numberForm.format(work.runs.failed)} failed, ${numberForm.format(work.runs.stopped)} stopped`);
      setFact(rows.skipped, numberForm.format(work.hits), `${span(saved)} saved${work.joins ? `, ${numberForm.format(work.joins)} joined` : ''}`);
      setHidden(rows.cost.node, !work.usage);
      if (work.usage) setFact(rows.cost, costText(work), `${count(work.usage.processes, 'process', 'processes')}, ${span(work.usage.cpu)} of a processor`);
      setFact(rows.settings, work.cache_calls ? 'run once' : 'run each time', `${work.parallel ? 'in parallel' : 'the flow waits'}${work.timeouts ? `, ${count(work.timeouts, 'timeout')}` : ''}`);
      setHidden(rows.url.node, !work.url);
      setFact(rows.url, work.url ?? '', work.ready === false ? 'not ready' : '');
    },
  };
}

function statePanel(here) {
  const text = el('pre');
  const { node } = panel('State', text);
  return {
    node,
    update() {
      setHidden(node, Object.keys(here.work.state).length === 0);
      setText(text, pretty(here.work.state));
    },
  };
}

function statusesPanel(here) {
  return statusesList('Statuses', () => here.work.statuses);
}

function statusesList(word, statuses) {
  const list = el('ul', { class: 'list' });
  const { node } = panel(word, list);
  return {
    node,
    update() {
      const all = statuses().map((status, at) => ({ ...status, at })).reverse();
      setHidden(node, all.length === 0);
      keyed(list, all, (status) => status.at, makeStatus, ({ parts: p }, status) => {
        setGlyph(p.mark, status.stage);
        setText(p.word, `${status.stage.replace('_', ' ')}${status.count > 1 ? ` ${status.count} ×` : ''}`);
        setTime(p.end, status.timestamp, ago(status.timestamp));
        setText(p.under, [status.reason, status.message].filter(Boolean).join(': '));
        setHidden(p.under, !status.reason && !status.message);
      });
    },
  };
}

function makeStatus() {
  const p = { mark: glyph('not_started'), word: el('span'), end: el('time', { class: 'end' }), under: el('div', { class: 'under' }) };
  const node = el('li', {}, p.mark, p.word, p.end, p.under);
  node.parts = p;
  return node;
}

/* ---- a run --------------------------------------------------------------------------------------------------------- */

function runView(id) {
  const here = { run: null, output: null };
  const mark = glyph('not_started'), title = el('h1', {}, `Run ${id}`), says = el('p', { class: 'says' }), back = el('a', { class: 'back', href: '#/' }, '← All works');
  const buttons = RUN_BUTTONS.map(([action, word, kind]) => button(word, () => ACTIONS[action](here.run), kind));
  const bar = el('div', { class: 'buttons', hidden: true }, ...buttons);
  const head = el('section', { class: 'head' }, back, el('div', { class: 'title' }, mark, title), says, bar);
  const panels = [errorPanel(here), textPanel('Arguments', () => argumentsOf(here.run)), textPanel('Result', () => valueText(here.run.result)), runFacts(here), statusesList('Statuses', () => here.run.statuses)];
  const left = el('div', { hidden: true }, ...panels.map(({ node }) => node)), right = el('div');

  async function readRun() {
    here.run = await api('GET', `runs/${id}`);
    keepRun(here.run);
    if (here.output !== null) return;
    here.output = outputPanel({ path: workPath(here.run.work, '/logs'), query: { run: id }, follow: !isOver(here.run.stage) });
    right.append(here.output.node);
  }
  return {
    nodes: [head, el('div', { class: 'split' }, left, right)],
    title: () => here.run ? `run ${id}, ${here.run.work}` : `run ${id}`,
    needs: ['run'],
    get polls() { return here.run !== null && !isOver(here.run.stage) ? ['run', 'status'] : ['status']; },
    reads: { run: readRun },
    get search() { return here.output?.search; },
    refused(error) { setText(says, `${error.message}${error.hint ? ` (${error.hint})` : ''}`); },
    onRun(event) { if (String(event.run) === id) want('run'); },
    onFound() { here.output?.restart(); },
    pause() { here.output?.stop(); },
    leave() { here.output?.stop(); },
    toggleFollow() { here.output?.toggleFollow(); },
    update() {
      const { run } = here;
      if (run === null) return;
      back.href = workLink(run.work);
      setText(back, `← ${run.work}`);
      setGlyph(mark, run.stage);
      setText(says, runSays(run));
      setClass(says, `says ${run.stage === 'failed' ? 'bad' : ''}`);
      setHidden(bar, false);
      setHidden(left, false);
      RUN_BUTTONS.forEach(([, , , there], i) => {
        setHidden(buttons[i], !there(run));
        buttons[i].disabled = state.link !== 'live';
      });
      panels.forEach((one) => one.update());
    },
  };
}

/* [action, word, kind, when it is there] */
const RUN_BUTTONS = [
  ['retry', 'Retry', 'main', (run) => run.stage === 'failed' || run.stage === 'stopped'],
  ['runAgain', 'Run with other arguments…', '', () => true],
  ['killRun', 'Kill…', 'danger', (run) => run.stage === 'running'],
  ['forget', 'Forget…', '', (run) => isOver(run.stage)],
];

function runSays(run) {
  const took = run.started ? span((run.ended ?? now()) - run.started) : null;
  switch (run.stage) {
    case 'running': return `running for ${took}${run.progress !== null ? ` · ${Math.round(run.progress * 100)} %` : ''}`;
    case 'succeeded': return `succeeded ${ago(run.ended)}, took ${took ?? 'no time'}`;
    case 'failed': return `failed ${ago(run.ended)}${took ? ` after ${took}` : ''}${run.reason ? `: ${run.reason}` : ''}`;
    case 'stopped': return `${run.reason ?? 'stopped'} ${ago(run.ended)}`;
    default: return `waiting${run.reason ? `: ${run.reason}` : ''}`;
  }
}

/* As it is called, or in lines when that is long; null when there is nothing. */
function argumentsOf(run) {
  const text = callText(run);
  return text === '' ? null : text.length < 80 ? text : pretty(callOf(run));
}

function valueText(value) {
  if (value === null || (typeof value === 'object' && Object.keys(value).length === 0)) return null;
  const text = brief(value);
  return text.length < 80 ? text : pretty(value);
}

const SHOWN_MOST = 20000;

/* A value that may be long: its beginning, and the rest when asked for. */
function setLong(pre, text) {
  if (pre.whole === text) return;
  pre.whole = text;
  pre.textContent = text.slice(0, SHOWN_MOST);
  if (text.length > SHOWN_MOST)
    pre.append(button(`… ${bytes(text.length - SHOWN_MOST)} more`, () => { pre.textContent = text; }, 'plain'));
}

function textPanel(word, value) {
  const text = el('pre');
  const { node } = panel(word, text);
  node.classList.add('first');
  return {
    node,
    update() {
      const shown = value();
      setHidden(node, shown === null);
      setLong(text, shown ?? '');
    },
  };
}

function errorPanel(here) {
  const { node, update } = textPanel('Error', () => here.run.error);
  node.classList.add('error');
  return { node, update };
}

function runFacts(here) {
  const rows = { why: fact('Why it ran'), began: fact('Began'), tries: fact('Attempt'), key: fact('Key') };
  const { node } = panel('How it came', el('dl', { class: 'facts' }, ...Object.values(rows).map((row) => row.node)));
  return {
    node,
    update() {
      const { run } = here;
      setFact(rows.why, (run.why ?? '').replace(/^runs: /, ''), run.lost > 0 ? `${count(run.lost, 'attempt')} lost` : '');
      rows.why.value.title = run.why ?? '';
      setFact(rows.began, run.started ? clockForm.format(run.started * 1000) : 'not yet', `asked for ${ago(run.created)}`);
      setFact(rows.tries, String(run.attempt));
      setFact(rows.key, run.key.slice(0, 12));
      rows.key.value.title = run.key;
    },
  };
}

/* ---- output -------------------------------------------------------------------------------------------------------- */

const LINES_MOST = 5000, LINES_SHOWN = 500, CHUNK = 200, TEXT_MOST = 4096;

/* What works printed. It follows, or goes from the first line and then waits to be asked for more:
 * who does not read on holds up the sender, nobody keeps what is not shown. `later`: it begins with
 * the first restart(). */
function outputPanel({ path, query = {}, follow, named = false, tall = false, later = false }) {
  const here = { follow, fromStart: false, search: '', stream: '', abort: null, total: 0, waiting: null };
  const lines = el('div', { class: 'lines', tabindex: 0, role: 'log', 'aria-live': 'off', 'aria-label': 'Output' });
  const search = el('input', { type: 'search', placeholder: 'Search', 'aria-label': 'Search the output' });
  const stream = el('select', { 'aria-label': 'Stream' }, ...[['', 'all'], ['out', 'stdout'], ['err', 'stderr']].map(([value, word]) => el('option', { value }, word)));
  const following = button('Follow', () => toggleFollow());
  const first = button('From the first line', () => { Object.assign(here, { follow: false, fromStart: true }); restart(); });
  const note = el('span', { role: 'status' }), more = button('Go on', () => here.waiting?.(), 'plain');
  const { node, header } = panel('Output', lines, el('div', { class: 'foot' }, note, more));
  header.append(el('div', { class: 'right' }, search, stream, first, following));
  node.classList.add('output', ...(tall ? ['tall'] : []));

  let typing = 0;
  search.addEventListener('input', () => {
    clearTimeout(typing);
    typing = setTimeout(() => { here.search = search.value; restart(); }, 300);
  });
  stream.addEventListener('change', () => { here.stream = stream.value; restart(); });

  function address() {
    const asked = { ...query, lines: here.fromStart || here.search !== '' ? 'all' : LINES_SHOWN };
    if (here.follow) asked.follow = true;
    if (here.search !== '') asked.search = here.search;
    if (here.stream !== '') asked.stream = here.stream;
    return `/api/v1/${path}?${Object.entries(asked).map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&')}`;
  }
  function stop() {
    here.abort?.abort();
    here.abort = null;
    here.waiting?.();
  }
  async function restart() {
    stop();
    const mine = here.abort = new AbortController();
    Object.assign(here, { total: 0, waiting: null });
    lines.replaceChildren();
    setHidden(more, true);
    setText(note, '');
    following.setAttribute('aria-pressed', here.follow);
    first.setAttribute('aria-pressed', here.fromStart);
    try {
      await readLines(address(), mine.signal, take);
      if (!mine.signal.aborted) setText(note, here.total === 0 ? 'Nothing was printed.' : count(here.total, 'line'));
    } catch (error) {
      if (mine.signal.aborted) return; /* another one has begun */
      if (error instanceof Refusal) setText(note, error.message);
      else if (!(error instanceof TypeError)) throw error;
      else connect();
    }
  }
  function toggleFollow() {
    Object.assign(here, { follow: !here.follow, fromStart: false });
    restart();
  }
  /* Again when the pieces have the heights that they were only guessed to have. */
  function toEnd() {
    lines.scrollTop = lines.scrollHeight;
    requestAnimationFrame(() => { lines.scrollTop = lines.scrollHeight; });
  }
  async function take(some) {
    const atEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 40;
    here.total += some.length;
    addLines(lines, some, { named, search: here.search });
    setText(note, `${count(here.total, 'line')}${here.follow ? ', more follow' : ''}`);
    if (!here.fromStart) {
      dropLines(lines);
      if (atEnd) toEnd();
    } else if (here.total % LINES_MOST < some.length && here.total >= LINES_MOST) {
      setHidden(more, false);
      await new Promise((resolve) => { here.waiting = resolve; });
      setHidden(more, true);
    }
  }
  if (!later) restart();
  return { node, search, stop, restart, toggleFollow };
}

/* Hands out the lines as they come, at most CHUNK at a time. */
async function readLines(url, signal, take) {
  const response = await fetch(url, { signal, cache: 'no-store' });
  if (!response.ok) return answerOf(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return undefined;
    const texts = (rest + value).split('\n');
    rest = texts.pop();
    for (let at = 0; at < texts.length && !signal.aborted; at += CHUNK)
      await take(texts.slice(at, at + CHUNK).map((text) => JSON.parse(text)));
    if (signal.aborted) return undefined;
  }
}

/* In pieces of CHUNK lines, which the browser need not lay out while they are out of sight. */
function addLines(lines, some, how) {
  for (const line of some) {
    let last = lines.lastElementChild;
    if (last === null || last.childElementCount >= CHUNK) {
      last = el('div', { class: 'some' });
      lines.append(last);
    }
    last.append(lineNode(line, how));
  }
}

function dropLines(lines) {
  while (lines.childElementCount > LINES_MOST / CHUNK) lines.firstElementChild.remove();
}

function lineNode(line, { named, search }) {
  const text = el('span', { class: 'text' });
  const at = timeNode(line.at, clockForm.format(line.at * 1000));
  if (line.run) at.title += `\nrun ${line.run}, pid ${line.pid}`;
  writeText(text, line.text.slice(0, TEXT_MOST), search);
  if (line.text.length > TEXT_MOST) {
    const rest = button(`… ${bytes(line.text.length - TEXT_MOST)} more`, () => { text.replaceChildren(); writeText(text, line.text, search); }, 'plain rest');
    text.append(rest);
  } else if (line.more) {
    text.append(el('span', { class: 'odd', title: 'the line goes on in the next' }, ' ↩'));
  }
  const who = !named ? null : line.work ? el('a', { class: 'who cut', href: workLink(line.work) }, line.work)
    : el('span', { class: 'who cut' }, line.source === 'flow' ? 'flow' : 'lw');
  return el('div', { class: `line ${lineKind(line)} ${named ? 'named' : ''}` }, at, who, text);
}

/* The supervisor's own lines all go to one stream: how bad one is says its first word. */
function lineKind({ source, stream, text }) {
  if (source !== 'lw') return stream === 'err' ? 'err' : '';
  return text.startsWith('error:') ? 'err' : text.startsWith('warning:') ? 'warn' : '';
}

/* Colours of a terminal become classes; what else it would obey is left out, what it would hide is shown. */
const ESCAPES = /\x1b\[([0-9;]*)m|\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]/g;
const CONTROLS = /[\x00-\x08\x0b-\x1f\x7f]/g;

function writeText(node, text, search) {
  let from = 0, sgr = [];
  for (const escape of text.matchAll(ESCAPES)) {
    writePart(node, text.slice(from, escape.index), sgr, search);
    from = escape.index + escape[0].length;
    if (escape[1] !== undefined) sgr = nextColours(sgr, escape[1].split(';').map(Number));
  }
  writePart(node, text.slice(from), sgr, search);
}

function nextColours(sgr, codes) {
  for (const code of codes) {
    if (code === 0) sgr = [];
    else if (code === 39) sgr = sgr.filter((old) => old < 30);
    else if (code === 22) sgr = sgr.filter((old) => old > 2);
    else if (code <= 2) sgr = [...sgr, code];
    else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) sgr = [...sgr.filter((old) => old < 30), code];
    else if (code === 38 || code === 48) break;
  }
  return sgr;
}

function writePart(node, text, sgr, search) {
  if (text === '') return;
  const clean = text.replace(CONTROLS, (c) => String.fromCharCode(c === '\x7f' ? 0x2421 : 0x2400 + c.charCodeAt(0)));
  const part = sgr.length > 0 ? el('span', { class: sgr.map((code) => `sgr-${code}`).join(' ') }) : node;
  const pieces = search ? clean.split(search) : [clean];
  pieces.forEach((piece, i) => part.append(...(i > 0 ? [el('mark', {}, search)] : []), piece));
  if (part !== node) node.append(part);
}

function outputView() {
  const output = outputPanel({ path: 'logs', follow: true, named: true, tall: true });
  const { node } = output;
  return { nodes: [el('div', { class: 'head' }), node], title: () => 'output', needs: [], polls: ['status'], search: output.search,
    onFound: output.restart, pause: output.stop, leave: output.stop, toggleFollow: output.toggleFollow, update() {} };
}

/* ---- dialogs --------------------------------------------------------------------------------------------------------- */

/* Opens one; it is gone when it closes. Answers with what it was closed with, '' when left. */
function openDialog(...nodes) {
  const dialog = el('dialog', {}, ...nodes);
  document.body.append(dialog);
  dialog.showModal();
  const closed = new Promise((resolve) => dialog.addEventListener('close', () => {
    dialog.remove();
    resolve(dialog.returnValue);
  }));
  return { dialog, closed };
}

/* Asks once; whoever only presses Enter or Escape has done nothing. */
async function ask(title, lines, verb) {
  const cancel = button('Cancel', () => dialog.close(''));
  const { dialog, closed } = openDialog(el('h2', {}, title), ...lines.map((line) => el('p', {}, line)),
    el('div', { class: 'buttons' }, cancel, button(verb, () => dialog.close('yes'), 'main danger')));
  cancel.focus();
  return await closed === 'yes';
}

function showText(title, text) {
  const pre = el('pre');
  setLong(pre, text);
  const { dialog } = openDialog(el('h2', {}, title), pre, el('div', { class: 'buttons' }, button('Close', () => dialog.close(''), 'main')));
}

async function showState() {
  await attempt(async () => showText('State of the flow', pretty(await api('GET', 'state'))));
}

/* The arguments of a call as they are written for lwctl, [..] positional, {..} or name=value named, as
 * the JSON of a request. Values are looked at, and sent as they were written: no number of theirs
 * goes through one of JavaScript's. */
function callJson(text) {
  const names = new Set(), named = [];
  let args = null;
  let rest = text.trim();
  while (rest !== '') {
    const found = rest.match(/^[[{]/) ? jsonAhead(rest) : pairAhead(rest);
    if (found.list !== undefined) {
      if (args !== null) throw new Error('two lists: one holds all positional arguments');
      args = found.list;
    }
    for (const name of found.names ?? []) {
      if (names.has(name)) throw new Error(`“${name}” is given twice`);
      names.add(name);
    }
    if (found.names?.length > 0) named.push(found.named);
    rest = rest.slice(found.size).trimStart();
  }
  return `{${[args && `"args":${args}`, named.length > 0 && `"kwargs":{${named.join(',')}}`].filter(Boolean).join(',')}}`;
}

/* The JSON list or object that the text begins with. */
function jsonAhead(text) {
  const size = bracketsEnd(text), json = text.slice(0, size);
  let value;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw new Error(`no JSON: ${error.message}`);
  }
  return Array.isArray(value) ? { list: json, size } : { names: Object.keys(value), named: json.slice(1, -1), size };
}

function bracketsEnd(text) {
  let depth = 0;
  for (const token of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{}]/g)) {
    if (token[0] === '[' || token[0] === '{') depth++;
    else if (token[0] === ']' || token[0] === '}') depth--;
    if (depth === 0) return token.index + token[0].length;
  }
  return text.length;
}

function pairAhead(text) {
  const pair = text.match(/^([A-Za-z_][\w.-]*)=/);
  if (pair === null) {
    const word = text.match(/^\S+/)[0];
    throw new Error(`“${word}” is no argument: write [${wordJson(word)}] for a positional one, name=${word} for a named one`);
  }
  const after = text.slice(pair[0].length);
  const size = /^[[{]/.test(after) ? bracketsEnd(after) : after.match(/^"(?:[^"\\]|\\.)*"|^\S*/)[0].length;
  return { names: [pair[1]], named: `"${pair[1]}":${wordJson(after.slice(0, size))}`, size: pair[0].length + size };
}

/* A word as JSON: what is no JSON is a text. */
function wordJson(word) {
  try {
    JSON.parse(word);
    return word;
  } catch {
    return JSON.stringify(word);
  }
}

const FORESEEN = {
  run: ['pending', 'It would run'], hit: ['skipped', 'It would be skipped'], join: ['running', 'It would join a run that is not over'], held: ['stopped', 'It would be held'],
};

/* A call by hand: what it would do is said before it is made. */
function runDialog(name, first, earlier) {
  const text = el('textarea', { id: 'arguments', rows: 3, spellcheck: 'false', autocapitalize: 'off', placeholder: '["day.csv", 3]   or   lr=0.1 epochs=10   or   {"lr": 0.1}' });
  const mark = glyph('not_started'), word = el('strong'), reason = el('div', { class: 'small soft' });
  const go = el('button', { type: 'submit', class: 'main' }, 'Run');
  const form = el('form', { method: 'dialog', onsubmit(event) { event.preventDefault(); make(); } }, el('h2', {}, `Run ${name}`),
    el('label', { for: 'arguments' }, 'Arguments (JSON, or name=value)'), text,
    earlier.length > 0 ? el('div', { class: 'earlier' }, ...earlier.map((call) => button(callText(call).slice(0, 60) || 'no arguments', () => { text.value = writeCall(call); foresee(); }))) : null,
    el('div', { class: 'foresee', 'aria-live': 'polite' }, mark, word, reason),
    el('div', { class: 'buttons' }, button('Cancel', () => dialog.close('')), go));
  const { dialog } = openDialog(form);
  let turn = 0, typing = 0;

  function tell(face, says, why) {
    setGlyph(mark, face);
    setText(word, says);
    setText(reason, why);
  }
  async function foresee() {
    const mine = ++turn;
    let call;
    go.disabled = true;
    try {
      call = callJson(text.value);
      const { decision, reason: why } = await api('POST', workPath(name, '/explain'), call);
      if (mine !== turn) return;
      tell(FORESEEN[decision][0], FORESEEN[decision][1], why.replace(/^(hit|held|runs): /, ''));
      go.disabled = false;
    } catch (error) {
      if (mine === turn) tell('failed', call === undefined ? 'These are no arguments' : 'It would be refused', error.message);
    }
  }
  async function make() {
    if (go.disabled) return;
    go.disabled = true;
    const refused = (error) => tell('failed', 'It was refused', error.message);
    const made = await attempt(() => api('POST', workPath(name, '/run?wait=false'), callJson(text.value)), refused);
    go.disabled = false;
    if (made === undefined) return;
    dialog.close('');
    toast(made.cached ? `Skipped: it is run ${made.id}, which has succeeded.` : `It is run ${made.id}.`);
    location.hash = `#/run/${made.id}`;
  }
  text.value = first ? writeCall(first) : '';
  text.addEventListener('keydown', (event) => { if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) make(); });
  text.addEventListener('input', () => { go.disabled = true; clearTimeout(typing); typing = setTimeout(foresee, 300); });
  text.focus();
  foresee();
}

function writeCall({ args, kwargs }) {
  return [args?.length > 0 ? write(args) : null, Object.keys(kwargs ?? {}).length > 0 ? write(kwargs) : null].filter(Boolean).join(' ');
}

const KEYS = [
  ['?', 'this list'], ['/', 'search'], ['o', 'all works'], ['l', 'output of all'], ['t', 'trouble only'], ['j  k', 'next, previous work'],
  ['Enter', 'open it'], ['r', 'run the work shown'], ['f', 'follow its output'], ['Esc', 'close, or back'],
];

function showKeys() {
  const { dialog } = openDialog(el('h2', {}, 'Keys'), el('table', {}, el('tbody', {}, ...KEYS.map(([key, word]) =>
    el('tr', {}, el('td', {}, ...key.split('  ').flatMap((one) => [el('kbd', {}, one), ' '])), el('td', {}, word))))),
  el('div', { class: 'buttons' }, button('Close', () => dialog.close(''), 'main')));
}

/* ---- what the buttons do -------------------------------------------------------------------------------------------------- */

function toast(text, bad = false) {
  const node = el('div', { class: `toast ${bad ? 'bad' : ''}` }, text);
  document.getElementById('toasts').append(node);
  setTimeout(() => node.remove(), bad ? 12000 : 5000);
}

/* Does something an operator asked for; what went wrong is said, by `refused` where there is one. */
async function attempt(does, refused = (error) => toast(`${error.message}${error.hint ? ` (${error.hint})` : ''}`, true)) {
  try {
    return await does();
  } catch (error) {
    if (error instanceof TypeError) {
      toast('The supervisor does not answer.', true);
      lose();
    } else if (error instanceof Refusal) {
      refused(error);
    } else {
      throw error;
    }
    return undefined;
  }
}

async function steer(path, done, body) {
  const answer = await attempt(() => api('POST', path, body ?? {}));
  if (answer === undefined) return;
  toast(done);
  readNow('status', ...view.needs);
}

const callOf = ({ args, kwargs }) => ({ args, kwargs });

/* What becomes of the processes and runs of a work, in words. */
function casualties(work) {
  const pids = processesOf(work).filter((process) => process.pid).map((process) => process.pid);
  const busy = processesOf(work).filter((process) => process.run).map((process) => process.run);
  return {
    processes: pids.length === 0 ? 'It has no process now.' : pids.length === 1 ? `Its process ${pids[0]}` : `Its processes ${pids.join(', ')}`,
    has: pids.length > 0,
    runs: busy.length === 0 ? 'No run is under way.' : busy.length === 1 ? `Run ${busy[0]}` : `Runs ${busy.join(', ')}`,
    busy: busy.length > 0,
  };
}

const ACTIONS = {
  run(work) {
    const known = new Map((work.calls ?? []).map((call) => [callText(call), call]));
    runDialog(work.name, work.latest ?? [...known.values()][0], [...known.values()].slice(0, 4));
  },
  start: (work) => steer(workPath(work.name, '/start?wait=false'), `${work.name} is started.`),
  async stop(work) {
    const { processes, has, runs, busy } = casualties(work);
    if (await ask(`Stop ${work.name}?`, [has ? `${processes} will be asked to end, and killed if that takes too long.` : processes,
      busy ? `${runs} will be stopped.` : runs, 'Nothing of it runs until you press Start, also after a restart of the supervisor.'], `Stop ${work.name}`))
      steer(workPath(work.name, '/stop?wait=false'), `${work.name} is being stopped.`);
  },
  async restart(work) {
    const { processes, has, runs, busy } = casualties(work);
    if (await ask(`Restart ${work.name}?`, [has ? `${processes} will be asked to end; new ones come.` : 'A new process comes.',
      busy ? `${runs} will begin again; that costs no retry.` : runs], `Restart ${work.name}`))
      steer(workPath(work.name, '/restart?wait=false'), `${work.name} is being restarted.`);
  },
  async kill(work) {
    const { processes, runs, busy } = casualties(work);
    if (await ask(`Kill ${work.name}?`, [`${processes} will be killed at once and replaced; what it has begun may stay half done.`,
      busy ? `${runs} will be stopped, and held until it is retried.` : runs], `Kill ${work.name}`))
      steer(workPath(work.name, '/kill?wait=false'), `${work.name} is killed.`);
  },
  pause: (work) => steer(workPath(work.name, '/pause'), `${work.name} is paused: what runs goes on, nothing new begins.`),
  resume: (work) => steer(workPath(work.name, '/resume'), `${work.name} goes on.`),
  async signal(work) {
    const choice = el('select', { id: 'signal' }, ...['HUP', 'USR1', 'USR2', 'INT', 'TERM', 'QUIT', 'CONT', 'STOP'].map((name) => el('option', {}, name)));
    const cancel = button('Cancel', () => dialog.close(''));
    const { dialog, closed } = openDialog(el('h2', {}, `Send a signal to ${work.name}`), el('label', { for: 'signal' }, 'Signal'), choice,
      el('p', { class: 'soft' }, 'Its processes get it; what they do is theirs.'),
      el('div', { class: 'buttons' }, cancel, button('Send', () => dialog.close(choice.value), 'main danger')));
    const signal = await closed;
    if (signal !== '') steer(workPath(work.name, '/signal'), `${signal} was sent to ${work.name}.`, { signal });
  },
  async retryAll(work) {
    if (await ask(`Retry what failed in ${work.name}?`, ['Every call that failed or was stopped, and did not run again since, runs once more.'], 'Retry all'))
      steer(workPath(work.name, '/retry'), 'What failed runs again.', { all: true });
  },
  async forgetAll(work) {
    if (await ask(`Forget all calls of ${work.name}?`, ['Whatever is called again runs again, also what has succeeded.', 'The runs stay on record.'], 'Forget all'))
      steer(workPath(work.name, '/forget'), `The calls of ${work.name} are forgotten.`, { all: true });
  },
  async retry(run) {
    const answer = await attempt(() => api('POST', workPath(run.work, '/retry'), callOf(run)));
    if (answer === undefined) return;
    toast(`It is run ${answer.runs[0]}.`);
    location.hash = `#/run/${answer.runs[0]}`;
  },
  runAgain: (run) => runDialog(run.work, run, []),
  async killRun(run) {
    const work = await attempt(() => api('GET', workPath(run.work)));
    if (work !== undefined) ACTIONS.kill({ ...work, name: run.work });
  },
  async forget(run) {
    if (await ask(`Forget the call of run ${run.id}?`, [`${run.work}(${callText(run).slice(0, 300)}) runs again when it is called again.`, 'The run stays on record.'], 'Forget'))
      steer(workPath(run.work, '/forget'), 'The call is forgotten.', callOf(run));
  },
  pauseApp() {
    if (state.app.paused) steer('app/resume', 'Passes go on.');
    else steer('app/pause', 'Paused: no passes; what runs goes on.');
  },
  async reload() {
    const plan = await attempt(() => api('POST', 'app/reload?dry_run=true', {}));
    if (plan === undefined) return;
    const lines = [...plan.changes.map((change) => `${change.work}: ${change.does}${change.key ? `, for its ${change.key}` : ''}`),
      ...plan.app.map((change) => `${change.key}: ${change.does === 'taken' ? 'is taken over' : 'needs a restart of the supervisor'}`)];
    if (lines.length === 0) toast('Nothing has changed in app.conf that matters.');
    else if (await ask('Read app.conf again?', lines, 'Reload')) steer('app/reload', 'app.conf was read again.');
  },
  async stopApp() {
    if (await ask('Stop the whole app?', ['All works are stopped, then the supervisor ends, and this page with it.', 'Only somebody on the machine, or its service manager, can start it again.'], 'Stop the app'))
      steer('app/stop?wait=false', 'The app is being stopped.');
  },
};

/* ---- the frame: top, banners, which view is shown ------------------------------------------------------------------------------ */

const VIEWS = { '': overview, work: workView, run: runView, output: outputView };

let view = { nodes: [], needs: [], polls: [], update() {} };

const topBar = (() => {
  const name = el('span', { class: 'cut' }, 'lw'), link = el('span', {}, ''), connection = el('div', { class: 'link' }, link);
  const pages = [el('a', { href: '#/' }, 'Works'), el('a', { href: '#/output' }, 'Output')];
  document.getElementById('top').append(el('a', { class: 'name cut', href: '#/' }, el('img', { src: '/view/icon.svg', alt: '' }), name),
    el('nav', { 'aria-label': 'Pages' }, ...pages), connection, el('button', { type: 'button', class: 'help', 'aria-label': 'Keys', onclick: showKeys }, '?'));
  return {
    update() {
      const words = { new: 'connecting', live: 'live', lost: 'no connection', denied: 'no access' };
      if (state.app) setText(name, appName());
      setText(link, words[state.link]);
      setClass(connection, `link ${state.link}`);
      pages.forEach((page) => page.toggleAttribute('aria-current', page.hash === (location.hash || '#/')));
    },
  };
})();

/* The folder says more than "app.conf". */
function appName() {
  const { name, path } = state.app;
  const folder = (path ?? '').split('/').at(-2);
  return name === 'app.conf' && folder ? folder : (name ?? 'lw').replace(/\.conf$/, '');
}

function banners() {
  const { app, link } = state;
  const shown = [];
  if (link === 'lost')
    shown.push(['bad', `No connection to the supervisor since ${clockForm.format(state.lostAt * 1000)}. What you see is as it was then. This page comes back by itself.`]);
  if (link === 'live' && app?.journal?.error) shown.push(['bad', `The record cannot be written, so no run starts: ${app.journal.error}`]);
  if (link === 'live' && app?.paused) shown.push(['note', `The flow is paused by ${app.paused.by} since ${clockForm.format(app.paused.at * 1000)}.`]);
  keyed(document.getElementById('banners'), shown, ([, text]) => text, ([kind, text]) => el('div', { class: `banner ${kind}` }, text), () => {});
}

function deniedView() {
  return {
    nodes: [el('section', { class: 'denied' }, el('h1', {}, 'This page needs the address with its token'),
      el('p', {}, 'The supervisor lets in who knows its token. The whole address is in the first line that it prints at start, and in the file view.url of its state directory. On the machine itself:'),
      el('pre', {}, 'lwctl -c app.conf status'), el('p', { class: 'soft' }, 'Open that address once; this browser then keeps a cookie.'))],
    title: () => 'no access', needs: [], polls: [], update() {},
  };
}

/* "#/work/train%20model" to its parts; one that was mangled leads to the overview. */
function place() {
  const [name, ...rest] = location.hash.replace(/^#?\/?/, '').split('/');
  try {
    return [name, decodeURIComponent(rest.join('/'))];
  } catch {
    return ['', ''];
  }
}

/* The view that the address names. */
function go() {
  const [name, subject] = place();
  view.leave?.();
  setHidden(document.getElementById('tip'), true);
  view = state.link === 'denied' ? deniedView() : (VIEWS[name] ?? overview)(subject);
  document.getElementById('main').replaceChildren(...view.nodes);
  scrollTo(0, 0);
  draw();
  if (state.link === 'live') readNow('status', ...view.needs);
}

let drawing = 0;

function draw() {
  if (drawing === 0) drawing = requestAnimationFrame(drawNow);
}

function drawNow() {
  drawing = 0;
  limitRecord();
  topBar.update();
  banners();
  view.update();
  const title = view.title() ?? '';
  const sign = state.link === 'lost' ? '✕ ' : state.works.some(isTroubled) ? '! ' : '';
  document.title = `${sign}${title}${state.app && title !== state.app.name ? ` – ${appName()}` : ''}`;
  document.getElementById('main').classList.toggle('away', state.link === 'lost');
  for (const node of document.querySelectorAll('.verdict a, .facts button.plain, .output header button')) node.disabled = state.link !== 'live';
}

/* Once a second: times go on, and what no event tells is read now and then. */
let second = 0;

function onSecond() {
  if (document.hidden) return;
  second++;
  const busy = state.works.some((work) => progressOf(work) !== null);
  if (second % (busy ? 2 : 5) === 0) want(...view.polls);
  draw();
}

/* ---- keys ---------------------------------------------------------------------------------------------------------------------- */

const SHORTCUTS = {
  '?': showKeys,
  '/': () => view.search?.focus(),
  o: () => { location.hash = '#/'; },
  l: () => { location.hash = '#/output'; },
  t: () => { state.filter.only = state.filter.only === 'trouble' ? 'all' : 'trouble'; draw(); },
  j: () => view.step?.(1),
  k: () => view.step?.(-1),
  r: () => view.action?.('run'),
  f: () => view.toggleFollow?.(),
  Escape: () => history.back(),
};

function onKey(event) {
  const typing = event.target.matches('input, textarea, select');
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog') || event.defaultPrevented) return;
  if (typing) {
    if (event.key === 'Escape') event.target.blur();
    return;
  }
  if (event.key === 'Escape' && (location.hash === '' || location.hash === '#/')) return;
  if (!Object.hasOwn(SHORTCUTS, event.key)) return;
  event.preventDefault();
  SHORTCUTS[event.key]();
}

addEventListener('hashchange', go);
addEventListener('keydown', onKey);
addEventListener('scroll', () => view.scrolled?.(), { passive: true });
addEventListener('resize', draw);
document.addEventListener('visibilitychange', onVisibility);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { palette = null; draw(); });
setInterval(onSecond, 1000);
go();
connect();
