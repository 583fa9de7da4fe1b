/**
 * Finds the host of a HTTP/1 request (RFC 9112): the Host fields, and the authority where the request is for a proxy (absolute form, CONNECT). HTTP/2
 * without TLS is another protocol.
 */
import { CLAIM_BROKEN, CLAIM_DONE, CLAIM_MORE, CLAIM_OTHER } from './claim-finding.ts';
import type { ClaimFinding } from './claim-finding.ts';
import type { RequestFraming } from './http-framing.ts';
import { CLAIM_BYTES_MAX } from './limits.ts';

const LF = 10;
const CR = 13;
const SPACE = 32;
const METHOD_MAX = 20;

/** `bytes[0, length)`: where a request begins, perhaps. `framing` is told how it goes on. */
export function findHost(bytes: Uint8Array, length: number, names: string[], framing: RequestFraming): ClaimFinding {
  framing.begin();
  const from = emptyLines(bytes, length);
  const method = methodEnd(bytes, from, length);
  if (method === -1) return CLAIM_OTHER;
  let lineEnd = endOfLine(bytes, from, length);
  if (method === 0 || lineEnd < 0) return length >= CLAIM_BYTES_MAX ? CLAIM_BROKEN : CLAIM_MORE;
  const request = / (\S+) HTTP\/1\.\d$/.exec(lineAt(bytes, from, lineEnd));
  if (request === null) return CLAIM_OTHER;
  framing.isTunnel = method === 7 && lineAt(bytes, from, from + method + 1).startsWith('CONNECT ');
  addAuthority(request[1]!, framing.isTunnel, names);
  for (;;) {
    const start = lineEnd + 1;
    lineEnd = endOfLine(bytes, start, length);
    if (lineEnd < 0) return length >= CLAIM_BYTES_MAX ? CLAIM_BROKEN : CLAIM_MORE;
    const line = lineAt(bytes, start, lineEnd);
    framing.headerBytes = lineEnd + 1;
    if (line === '') return CLAIM_DONE;
    // A folded line, or space before the colon: parsers differ on what that is (RFC 9112 section 5).
    if (/^[ \t]/.test(line) || /^[^:]*[ \t]:/.test(line)) return CLAIM_BROKEN;
    if (!framing.field(line)) return CLAIM_BROKEN;
    const field = /^host:[ \t]*(.*?)[ \t]*$/i.exec(line);
    if (field !== null) addHost(field[1]!, names);
  }
}

/** Servers ignore empty lines before a request (RFC 9112, section 2.2). */
function emptyLines(bytes: Uint8Array, length: number): number {
  let at = 0;
  while (at < length && (bytes[at] === CR || bytes[at] === LF)) at++;
  return at;
}

/** Length of the method, 0: not known yet, -1: this is no request. */
function methodEnd(bytes: Uint8Array, from: number, length: number): number {
  const known = length - from;
  for (let i = 0; i < Math.min(known, METHOD_MAX + 1); i++) {
    const byte = bytes[from + i]!;
    if (byte === SPACE) return i === 0 ? -1 : i;
    // Extension methods may be any token; everybody's are letters and dashes.
    if (!((byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a) || byte === 0x2d)) return -1;
  }
  return known > METHOD_MAX ? -1 : 0;
}

/** Where the LF is that ends the line at `start`, -1: it has not come. */
function endOfLine(bytes: Uint8Array, start: number, length: number): number {
  const at = bytes.indexOf(LF, start);
  return at >= length ? -1 : at;
}

function lineAt(bytes: Uint8Array, start: number, end: number): string {
  const stop = end > start && bytes[end - 1] === CR ? end - 1 : end;
  let line = '';
  for (let i = start; i < stop; i++) line += String.fromCharCode(bytes[i]!);
  return line;
}

/** Of a request for a proxy. A path alone has none. */
function addAuthority(target: string, isConnect: boolean, names: string[]): void {
  const absolute = /^[a-z][a-z0-9+.-]*:\/\/(?:[^/?#@]*@)?([^/?#]*)/i.exec(target);
  if (absolute !== null) addHost(absolute[1]!, names);
  else if (isConnect) addHost(target, names);
}

function addHost(authority: string, names: string[]): void {
  const name = authority.replace(/:\d*$/, '');
  if (name === '' || name.startsWith('[') || /^\d+(\.\d+){3}$/.test(name)) return;
  names.push(name.slice(0, 256));
}
