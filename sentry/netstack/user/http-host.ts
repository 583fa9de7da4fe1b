/**
 * Finds the host of the first HTTP/1 request of a flow (RFC 9112): the Host fields, and the authority where the request is for a proxy
 * (absolute form, CONNECT). Later requests of the connection are not looked at, nor is HTTP/2 without TLS.
 */
import { CLAIM_BROKEN, CLAIM_DONE, CLAIM_MORE, CLAIM_OTHER } from './claim-finding.ts';
import type { ClaimFinding } from './claim-finding.ts';
import { CLAIM_BYTES_MAX } from './limits.ts';

const LF = 10;
const CR = 13;
const SPACE = 32;
const METHOD_MAX = 20;

/** `bytes[0, length)`: the beginning of a flow. */
export function findHost(bytes: Uint8Array, length: number, names: string[]): ClaimFinding {
  const method = methodEnd(bytes, length);
  if (method === -1) return CLAIM_OTHER;
  let lineEnd = endOfLine(bytes, 0, length);
  if (method === 0 || lineEnd < 0) return length >= CLAIM_BYTES_MAX ? CLAIM_BROKEN : CLAIM_MORE;
  const request = / (\S+) HTTP\/1\.\d$/.exec(lineAt(bytes, 0, lineEnd));
  if (request === null) return CLAIM_OTHER;
  addAuthority(request[1]!, method === 7 && lineAt(bytes, 0, method + 1).startsWith('CONNECT '), names);
  for (;;) {
    const start = lineEnd + 1;
    lineEnd = endOfLine(bytes, start, length);
    if (lineEnd < 0) return length >= CLAIM_BYTES_MAX ? CLAIM_BROKEN : CLAIM_MORE;
    const line = lineAt(bytes, start, lineEnd);
    if (line === '') return CLAIM_DONE;
    // A folded line, or space before the colon: parsers differ on what that is (RFC 9112 section 5).
    if (/^[ \t]/.test(line) || /^[^:]*[ \t]:/.test(line)) return CLAIM_BROKEN;
    const field = /^host:[ \t]*(.*?)[ \t]*$/i.exec(line);
    if (field !== null) addHost(field[1]!, names);
  }
}

/** Length of the method, 0: not known yet, -1: this is no request. */
function methodEnd(bytes: Uint8Array, length: number): number {
  for (let i = 0; i < Math.min(length, METHOD_MAX + 1); i++) {
    const byte = bytes[i]!;
    if (byte === SPACE) return i === 0 ? -1 : i;
    // Extension methods may be any token; everybody's are letters and dashes.
    if (!((byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a) || byte === 0x2d)) return -1;
  }
  return length > METHOD_MAX ? -1 : 0;
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
