// source "http": what a URL answers, as a folder with one file in it.
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile, mkdtemp, access } from 'node:fs/promises';
import path from 'node:path';

const text = Buffer.from('"string"');

export const describe = {
  name: 'http',
  version: '1.0.0',
  many_stacks: true, // each request is answered for its own stack: see serve.js
  types: [{
    kind: 'source', name: 'http', can_watch: true,
    description: 'What a URL answers, as a folder with one file. It is fetched again only when its ETag has changed.',
    config: {
      attributes: [
        { name: 'url', type: text, required: true, description: 'Where to look: http:// or https://.', pattern: '^https?://' },
        { name: 'file', type: text, default: { json: Buffer.from('"content"') }, description: 'Name of the file that holds the answer.', pattern: '^[A-Za-z0-9_][A-Za-z0-9._-]*$' },
        { name: 'token', type: text, sensitive: true, description: 'Bearer token to send.' },
        { name: 'timeout_seconds', type: Buffer.from('"number"'), default: { json: Buffer.from('30') }, min: 1, max: 600, description: 'How long an answer may take.' },
      ],
    },
    outputs: {
      attributes: [
        { name: 'revision', type: text, description: 'Digest of the answer.' },
        { name: 'time', type: text, description: 'When it was last modified, RFC 3339; empty when the server does not tell.' },
        { name: 'tree', type: Buffer.from('["object",{"digest":"string","path":"string"}]'), description: 'The files.' },
        { name: 'etag', type: text, description: 'The ETag of the answer; empty when there is none.' },
        { name: 'size', type: Buffer.from('"number"'), description: 'Bytes of the answer.' },
      ],
    },
  }],
};

// Problem is an error that davit shows at an argument.
class Problem extends Error {
  constructor(attribute, summary, { detail, hint, code } = {}) {
    super(summary);
    Object.assign(this, { summary, detail, hint, code_: code, path: [attribute] });
  }
}

// The largest answer that is taken.
const most = 64 * 1024 * 1024;

// What a server said last, by URL, so that it need not say it again. Several calls for one URL share one request.
const asking = new Map();

function sha256(data) {
  return createHash('sha256').update(data).digest('hex');
}

function validate(c) {
  if (!/^https?:\/\//.test(c.url) || !URL.canParse(c.url)) throw new Problem('url', 'this is not an address that begins with http:// or https://', { code: 'http.url' });
  if (!/^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(c.file)) throw new Problem('file', 'this is not a plain name of a file', { code: 'http.file' });
  if (!(c.timeout_seconds >= 1 && c.timeout_seconds <= 600)) throw new Problem('timeout_seconds', 'a timeout is between 1 and 600 seconds', { code: 'http.timeout' });
}

// observe fetches the URL, or finds what is pinned.
async function observe(c, pinned, host) {
  if (pinned && await exists(path.join(pinned.tree.path, c.file))) return pinned;
  const now = await shared(c, host);
  if (pinned && pinned.revision !== now.revision) {
    throw new Problem('url', 'the answer is not the one that was planned any more', { hint: 'Plan again.', code: 'http.changed' });
  }
  return now;
}

function shared(c, host) {
  const key = JSON.stringify([c.url, c.file, c.token, host.cacheDir]);
  if (!asking.has(key)) asking.set(key, look(c, host).finally(() => asking.delete(key)));
  return asking.get(key);
}

async function exists(file) {
  return access(file).then(() => true, () => false);
}

async function look(c, host) {
  const home = path.join(host.cacheDir, 'http');
  const note = path.join(home, 'seen', sha256(JSON.stringify([c.url, c.file])) + '.json');
  const before = await readFile(note, 'utf8').then(JSON.parse, () => null);
  const usable = before?.etag && await exists(path.join(before.tree.path, c.file));
  const answer = await get(c, usable ? { 'If-None-Match': before.etag } : {});
  if (answer.status === 304 && usable) return before;
  const outputs = {
    revision: 'sha256:' + sha256(answer.body), etag: answer.etag, size: answer.body.length, time: answer.time,
    tree: await keep(home, c.file, answer.body),
  };
  await mkdir(path.dirname(note), { recursive: true });
  await atomically(note, (to) => writeFile(to, JSON.stringify(outputs)));
  return outputs;
}

async function get(c, headers) {
  const asked = { ...headers, ...(c.token ? { Authorization: 'Bearer ' + c.token } : {}) };
  let response;
  try {
    response = await fetch(c.url, { headers: asked, signal: AbortSignal.timeout(c.timeout_seconds * 1000) });
    if (response.status === 304) return { status: 304 };
    if (!response.ok) {
      throw new Problem('url', `the server answered ${response.status} ${response.statusText}`, { code: 'http.status', hint: response.status === 401 ? 'Set token.' : '' });
    }
    const parts = [];
    let size = 0;
    for await (const part of response.body) {
      size += part.length;
      if (size > most) throw new Problem('url', `the answer has more than ${most} bytes`, { code: 'http.size' });
      parts.push(part);
    }
    const modified = Date.parse(response.headers.get('last-modified') ?? '');
    return {
      status: response.status, body: Buffer.concat(parts), etag: response.headers.get('etag') ?? '',
      time: Number.isNaN(modified) ? '' : new Date(modified).toISOString(),
    };
  } catch (error) {
    if (error instanceof Problem) throw error;
    const why = error.name === 'TimeoutError' ? `it took longer than ${c.timeout_seconds} seconds` : String(error.cause?.message ?? error.message);
    throw new Problem('url', 'the URL cannot be fetched', { detail: why, code: 'http.failed' });
  }
}

// keep puts the answer into a folder that is named by its digest. A folder that is there is whole.
async function keep(home, file, body) {
  const hex = sha256(file + '\0' + sha256(body));
  const folder = path.join(home, 'trees', hex);
  if (!await exists(path.join(folder, file))) {
    await mkdir(path.dirname(folder), { recursive: true });
    await atomically(folder, async (to) => {
      await mkdir(to);
      await writeFile(path.join(to, file), body);
    });
  }
  return { digest: 'sha256:' + hex, path: folder };
}

// atomically makes a file or folder beside its place and moves it there. Who is second has made the same.
async function atomically(to, make) {
  const aside = await mkdtemp(to + '.');
  try {
    await make(path.join(aside, 'new'));
    await rename(path.join(aside, 'new'), to);
  } catch (error) {
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
}

// How often a watched URL is asked, in milliseconds.
const interval = Number(process.env.DAVIT_HTTP_INTERVAL ?? 30000);

// watch tells when what instances observe is another one than before.
function watch(instances, host, changed, onStop) {
  let stopped = false, timer;
  const seen = new Map();
  onStop(() => { stopped = true; clearTimeout(timer); });
  async function round() {
    for (const { address, config } of instances) {
      const now = await shared(config, host).then((o) => o.revision, (error) => 'error: ' + error.message);
      if (stopped) return;
      if (seen.has(address) && seen.get(address) !== now) changed(address, 'the URL answers something else');
      seen.set(address, now);
    }
    timer = setTimeout(round, interval);
  }
  round();
}

export const type = { validate, observe, watch };
