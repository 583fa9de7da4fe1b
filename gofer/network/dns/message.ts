/**
 * Reading DNS messages: RFC 1035 section 4, with the OPT record of RFC 6891. Everything here comes from a guest or from the network.
 *
 * A message is read once, to its last record; one that is not well formed is null. Names become normal text: lower case, labels joined by
 * dots, without one at the end (the root is ''). A label that could not be told apart in that form (a dot, a control byte, a byte above 126) makes the
 * message malformed: no host has such a name, and no rule could mean it.
 */
import { IpAddress } from '#sentry/netstack/address.ts';
import { RECORDS_MAX } from '../limits.ts';
import { CLASS_IN, HEADER_SIZE, TYPE_A, TYPE_AAAA, TYPE_CNAME, TYPE_OPT, TYPE_PTR } from './records.ts';

export interface Question {
  readonly name: string;
  readonly type: number;
  readonly class: number;
  /** Where the question ends in the message; it begins at HEADER_SIZE. */
  readonly end: number;
}

export interface DnsRecord {
  readonly name: string;
  readonly type: number;
  readonly class: number;
  readonly ttl: number;
  /** Place of the data. */
  readonly offset: number;
  readonly length: number;
  /** The name in the data of CNAME and PTR. */
  readonly target: string;
}

export interface DnsMessage {
  readonly id: number;
  readonly flags: number;
  /** Messages of any other number of questions than one are not used by anybody, and are malformed here. */
  readonly question: Question;
  readonly answers: readonly DnsRecord[];
  /** Bytes of UDP that the sender takes; 0: it sent no OPT record. */
  readonly udpSize: number;
}

const NAME_BYTES_MAX = 255;
const POINTER = 0xc0;

/** Reads `bytes`. The name of the question is checked as all others. */
export function readMessage(bytes: Uint8Array): DnsMessage | null {
  const reader = new MessageReader(bytes);
  const message = reader.message();
  return reader.isMalformed ? null : message;
}

class MessageReader {
  isMalformed = false;
  private at = 0;
  private readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  message(): DnsMessage {
    const id = this.u16();
    const flags = this.u16();
    const questions = this.u16();
    const answerCount = this.u16();
    const others = this.u16() + this.u16();
    if (questions !== 1 || answerCount + others > RECORDS_MAX) this.isMalformed = true;
    const question = { name: this.name(), type: this.u16(), class: this.u16(), end: this.at };
    const answers = this.records(answerCount);
    const opt = this.records(others).filter((record) => record.type === TYPE_OPT);
    if (opt.length > 1 || this.at !== this.bytes.length) this.isMalformed = true;
    return { id, flags, question, answers, udpSize: opt[0]?.class ?? 0 };
  }

  private records(count: number): DnsRecord[] {
    const records: DnsRecord[] = [];
    for (let i = 0; i < count && !this.isMalformed; i++) records.push(this.record());
    return records;
  }

  private record(): DnsRecord {
    const name = this.name();
    const type = this.u16();
    const cls = this.u16();
    // A time to live with its highest bit set is zero (RFC 2181 section 8).
    const ttl = this.u16() * 65_536 + this.u16();
    const length = this.u16();
    const offset = this.at;
    const target = type === TYPE_CNAME || type === TYPE_PTR ? this.name() : '';
    if (target !== '' || type === TYPE_CNAME || type === TYPE_PTR) {
      if (this.at !== offset + length) this.isMalformed = true;
    } else {
      this.at += length;
      if (this.at > this.bytes.length) this.isMalformed = true;
    }
    return { name, type, class: cls, ttl: ttl >= 2 ** 31 ? 0 : ttl, offset, length, target };
  }

  private u16(): number {
    const { bytes, at } = this;
    if (at + 2 > bytes.length) this.isMalformed = true;
    if (this.isMalformed) return 0;
    this.at = at + 2;
    return bytes[at]! * 256 + bytes[at + 1]!;
  }

  /** Pointers lead only to what lies before them, so following them ends. */
  private name(): string {
    const { bytes } = this;
    let text = '';
    let at = this.at;
    let before = at;
    let behind = -1;
    let total = 1;
    for (;;) {
      const length = this.isMalformed || at >= bytes.length ? -1 : bytes[at]!;
      if (length === 0) break;
      if (length >= POINTER && at + 1 < bytes.length) {
        const to = (length & 0x3f) * 256 + bytes[at + 1]!;
        if (behind < 0) behind = at + 2;
        if (to >= before || to < HEADER_SIZE) return this.fail();
        before = to;
        at = to;
        continue;
      }
      total += length + 1;
      if (length < 0 || length > 63 || at + 1 + length > bytes.length || total > NAME_BYTES_MAX) return this.fail();
      const label = this.label(at + 1, length);
      text = text === '' ? label : `${text}.${label}`;
      at += 1 + length;
    }
    this.at = behind < 0 ? at + 1 : behind;
    return text;
  }

  private label(start: number, length: number): string {
    let label = '';
    for (let i = start; i < start + length; i++) {
      const byte = this.bytes[i]!;
      if (byte <= 0x20 || byte >= 0x7f || byte === 0x2e) this.isMalformed = true;
      label += String.fromCharCode(byte >= 0x41 && byte <= 0x5a ? byte + 32 : byte);
    }
    return label;
  }

  private fail(): string {
    this.isMalformed = true;
    return '';
  }
}

/** The addresses that `message`, read from `bytes`, gives for the owner `name`. */
export function addressesOf(bytes: Uint8Array, message: DnsMessage, name: string): { readonly address: IpAddress; readonly ttl: number }[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const found: { address: IpAddress; ttl: number }[] = [];
  for (const { name: owner, type, class: cls, offset, length, ttl } of message.answers) {
    if (owner !== name || cls !== CLASS_IN) continue;
    if (type === TYPE_A && length === 4) found.push({ address: new IpAddress().setIpv4(view.getInt32(offset)), ttl });
    if (type === TYPE_AAAA && length === 16) found.push({ address: new IpAddress().read(view, offset), ttl });
  }
  return found;
}
