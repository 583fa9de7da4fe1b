/**
 * Finds the server name in a TLS ClientHello, as far as it has come: records (RFC 8446 section 5.1) may cut the handshake message
 * anywhere, and segments may cut records. Server names: RFC 6066 section 3.
 *
 * Nothing is decrypted: what is hidden by Encrypted ClientHello has another name outside, which is the one found.
 */
import { CLAIM_BYTES_MAX } from './limits.ts';
import { CLAIM_BROKEN, CLAIM_DONE, CLAIM_MORE, CLAIM_OTHER } from './claim-finding.ts';
import type { ClaimFinding } from './claim-finding.ts';

const RECORD_HANDSHAKE = 22;
const RECORD_HEADER = 5;
const HANDSHAKE_HEADER = 4;
const CLIENT_HELLO = 1;
const EXTENSION_SERVER_NAME = 0;
const NAME_TYPE_HOST = 0;

/** What the records hold of the handshake message. One is enough: flows are looked at one after the other. */
const message = new Uint8Array(CLAIM_BYTES_MAX);

/** `bytes[0, length)`: the beginning of a flow. Names go to `names`. */
export function findServerName(bytes: Uint8Array, length: number, names: string[]): ClaimFinding {
  if (length === 0) return CLAIM_MORE;
  if (bytes[0] !== RECORD_HANDSHAKE) return CLAIM_OTHER;
  if (length > 1 && bytes[1] !== 3) return CLAIM_OTHER;
  const gathered = gather(bytes, length);
  if (gathered < 0) return CLAIM_BROKEN;
  if (gathered > 0 && message[0] !== CLIENT_HELLO) return CLAIM_BROKEN;
  if (gathered < HANDSHAKE_HEADER) return CLAIM_MORE;
  const size = message[1]! * 65_536 + message[2]! * 256 + message[3]!;
  if (HANDSHAKE_HEADER + size > CLAIM_BYTES_MAX) return CLAIM_BROKEN;
  if (gathered < HANDSHAKE_HEADER + size) return CLAIM_MORE;
  return new HelloReader(HANDSHAKE_HEADER, HANDSHAKE_HEADER + size).read(names) ? CLAIM_DONE : CLAIM_BROKEN;
}

/** Joins what the records carry in `message`; returns its bytes, -1: something else comes before the message is complete. */
function gather(bytes: Uint8Array, length: number): number {
  let gathered = 0;
  let at = 0;
  while (at + RECORD_HEADER <= length) {
    const size = bytes[at + 3]! * 256 + bytes[at + 4]!;
    if (bytes[at] !== RECORD_HANDSHAKE || bytes[at + 1] !== 3 || size === 0) return isComplete(gathered) ? gathered : -1;
    const here = Math.min(size, length - at - RECORD_HEADER, CLAIM_BYTES_MAX - gathered);
    message.set(bytes.subarray(at + RECORD_HEADER, at + RECORD_HEADER + here), gathered);
    gathered += here;
    at += RECORD_HEADER + size;
  }
  return gathered;
}

function isComplete(gathered: number): boolean {
  if (gathered < HANDSHAKE_HEADER) return false;
  return gathered >= HANDSHAKE_HEADER + message[1]! * 65_536 + message[2]! * 256 + message[3]!;
}

/** Reads the fields of a whole ClientHello in `message`. Past its end everything reads as a failure. */
class HelloReader {
  private at: number;
  private end: number;
  private isBroken = false;

  constructor(start: number, end: number) {
    this.at = start;
    this.end = end;
  }

  read(names: string[]): boolean {
    this.skip(2 + 32); // version, random
    this.skip(this.number(1)); // session id
    this.skip(this.number(2)); // cipher suites
    this.skip(this.number(1)); // compression methods
    if (this.isBroken) return false;
    if (this.at === this.end) return true; // no extensions
    const extensions = this.number(2);
    if (this.at + extensions !== this.end) return false;
    while (this.at < this.end && !this.isBroken) this.extension(names);
    return !this.isBroken;
  }

  private extension(names: string[]): void {
    const type = this.number(2);
    const length = this.number(2);
    const behind = this.at + length;
    if (behind > this.end) this.isBroken = true;
    else if (type === EXTENSION_SERVER_NAME) this.serverNames(behind, names);
    this.at = behind;
  }

  private serverNames(end: number, names: string[]): void {
    if (this.number(2) !== end - this.at) this.isBroken = true;
    while (this.at < end && !this.isBroken) {
      const type = this.number(1);
      const length = this.number(2);
      const start = this.at;
      this.skip(length);
      if (this.at > end || length === 0) this.isBroken = true;
      else if (type === NAME_TYPE_HOST) names.push(String.fromCharCode(...message.subarray(start, start + Math.min(length, 256))));
    }
  }

  private number(bytes: number): number {
    if (this.at + bytes > this.end) this.isBroken = true;
    if (this.isBroken) return 0;
    let value = 0;
    for (let i = 0; i < bytes; i++) value = value * 256 + message[this.at + i]!;
    this.at += bytes;
    return value;
  }

  private skip(bytes: number): void {
    this.at += bytes;
    if (this.at > this.end) this.isBroken = true;
  }
}
