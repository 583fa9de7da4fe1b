/**
 * Writing DNS messages: the questions asked of the host's resolvers, and answers made here. The question goes along as it came, byte for byte:
 * resolvers that vary its upper and lower case (0x20) compare it.
 */
import type { IpAddress } from '#sentry/netstack/address.ts';
import type { DnsMessage } from './message.ts';
import * as dns from './records.ts';

/** Bytes by UDP that we take: what crosses any link unfragmented (DNS Flag Day 2020). */
const OUR_UDP_SIZE = 1_232;
/** Time to live of answers made here. */
const LOCAL_TTL_S = 60;
/** A pointer to the name of the question. */
const QUESTION_NAME = 0xc00c;

/** A growing message. */
class Composer {
  private readonly parts: number[] = [];

  u16(...values: readonly number[]): this {
    for (const value of values) this.parts.push((value >> 8) & 255, value & 255);
    return this;
  }

  u32(value: number): this {
    return this.u16(value >>> 16, value & 0xffff);
  }

  bytes(bytes: Iterable<number>): this {
    for (const byte of bytes) this.parts.push(byte);
    return this;
  }

  get done(): Uint8Array {
    return Uint8Array.from(this.parts);
  }
}

/** The question of `query`, as we ask it of a resolver. */
export function composeQuestion(id: number, bytes: Uint8Array, query: DnsMessage): Uint8Array {
  const composer = new Composer().u16(id, dns.FLAG_RECURSION_DESIRED, 1, 0, 0, 1);
  composer.bytes(bytes.subarray(dns.HEADER_SIZE, query.question.end));
  // OPT: root, type, our size, no extended flags, no data.
  return composer.bytes([0]).u16(dns.TYPE_OPT, OUR_UDP_SIZE).u32(0).u16(0).done;
}

/** An answer with a return code and nothing else. `isBlocked`: with the reason, for those who understand EDNS. */
export function composeRefusal(bytes: Uint8Array, query: DnsMessage, rcode: number, isBlocked = false): Uint8Array {
  return compose(bytes, query, rcode, [], isBlocked);
}

/** The data of one answer record: an address, or the name a PTR record points to. */
export type LocalAnswer = { readonly address: IpAddress } | { readonly name: string };

export function composeAnswer(bytes: Uint8Array, query: DnsMessage, answers: readonly LocalAnswer[]): Uint8Array {
  return compose(bytes, query, dns.RCODE_OK, answers, false);
}

/** `bytes`, an answer too long for UDP, without its records: the client asks again by TCP. */
export function composeTruncated(bytes: Uint8Array, query: DnsMessage): Uint8Array {
  const short = compose(bytes, query, dns.RCODE_OK, [], false);
  short[2]! |= dns.FLAG_TRUNCATED >> 8;
  return short;
}

function compose(bytes: Uint8Array, query: DnsMessage, rcode: number, answers: readonly LocalAnswer[], isBlocked: boolean): Uint8Array {
  const hasOpt = query.udpSize > 0;
  const kept = query.flags & (dns.OPCODE_MASK | dns.FLAG_RECURSION_DESIRED);
  const composer = new Composer();
  composer.u16(query.id, dns.FLAG_RESPONSE | dns.FLAG_RECURSION_AVAILABLE | kept | rcode, 1, answers.length, 0, hasOpt ? 1 : 0);
  composer.bytes(bytes.subarray(dns.HEADER_SIZE, query.question.end));
  for (const answer of answers) addRecord(composer, answer);
  if (hasOpt) addOpt(composer, isBlocked);
  return composer.done;
}

function addRecord(composer: Composer, answer: LocalAnswer): void {
  const data = 'address' in answer ? addressData(answer.address) : nameData(answer.name);
  const type = 'name' in answer ? dns.TYPE_PTR : answer.address.isIpv4 ? dns.TYPE_A : dns.TYPE_AAAA;
  composer.u16(QUESTION_NAME, type, dns.CLASS_IN).u32(LOCAL_TTL_S).u16(data.length).bytes(data);
}

function addOpt(composer: Composer, isBlocked: boolean): void {
  composer.bytes([0]).u16(dns.TYPE_OPT, OUR_UDP_SIZE).u32(0);
  if (isBlocked) composer.u16(6, dns.OPTION_EXTENDED_ERROR, 2, dns.EXTENDED_BLOCKED);
  else composer.u16(0);
}

function addressData(address: IpAddress): Uint8Array {
  const bytes = new Uint8Array(16);
  address.write(new DataView(bytes.buffer), 0);
  return address.isIpv4 ? bytes.subarray(12) : bytes;
}

function nameData(name: string): number[] {
  const labels = name.split('.').flatMap((label) => [label.length, ...Buffer.from(label, 'latin1')]);
  return [...labels, 0];
}

/** A message of the host's resolver as the answer to `query`: it gets the guest's id. */
export function withId(bytes: Uint8Array, id: number): Uint8Array {
  const copy = bytes.slice();
  copy[0] = id >> 8;
  copy[1] = id & 255;
  return copy;
}

/** Bytes the sender of `query` takes by UDP. */
export function udpLimit(query: DnsMessage): number {
  return Math.max(dns.UDP_DEFAULT_MAX, query.udpSize);
}
