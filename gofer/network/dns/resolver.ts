/**
 * The resolver of a sandbox: what its guests ask 10.0.2.3. Decides by the policy, answers what it knows by itself, passes the rest to the
 * host's resolvers, and binds the addresses of answers to the names asked for (policy/bindings.ts).
 *
 *   a name the policy denies         NXDOMAIN at once, with "blocked" for those who understand EDNS (RFC 8914), and a line in the report.
 *                                    Not REFUSED: the C library would ask again and then call it a temporary failure
 *   localhost                        127.0.0.1, ::1 (RFC 6761)
 *   names in the host's hosts file   its addresses
 *   PTR                              the name that was resolved to the address; else it is passed on only where names do not matter
 *   HTTPS, SVCB                      no data where names matter: they carry addresses that nobody would bind, and keys that hide the server name
 *   ANY, zone transfers              not implemented, refused (RFC 8482)
 */
import { parseAddress } from '#sentry/netstack/address.ts';
import type { IpAddress } from '#sentry/netstack/address.ts';
import type { NameBindings } from '../policy/bindings.ts';
import type { Policy, Verdict } from '../policy/policy.ts';
import { normalName } from '../policy/rule.ts';
import type { Asker } from '../report.ts';
import { composeAnswer, composeRefusal, composeTruncated, udpLimit, withId } from './compose.ts';
import type { LocalAnswer } from './compose.ts';
import type { Forwarder } from './forwarder.ts';
import { addressesOf, readMessage } from './message.ts';
import type { DnsMessage } from './message.ts';
import * as dns from './records.ts';
import { reverseAddress } from './reverse.ts';

export interface ResolverSetup {
  readonly policy: Policy;
  readonly bindings: NameBindings;
  readonly hosts: ReadonlyMap<string, readonly IpAddress[]>;
  readonly forwarder: Pick<Forwarder, 'ask'>;
  readonly now: () => number;
  /** A name was asked for that the policy denies. */
  readonly onDenied: (name: string, verdict: Verdict, asker: Asker) => void;
}

const LOOPBACK: readonly IpAddress[] = [parseAddress('127.0.0.1')!, parseAddress('::1')!];
const NO_ADDRESSES: readonly IpAddress[] = [];
/** IXFR, AXFR and two obsolete ones. */
const FIRST_TRANSFER = 251;

export class Resolver {
  private readonly setup: ResolverSetup;

  constructor(setup: ResolverSetup) {
    this.setup = setup;
  }

  /**
   * Answers `bytes`, now or later, with at most `limit` bytes (by UDP the client may want less). False: it is no question and gets no answer.
   * `asker` is for the report.
   */
  resolve(bytes: Uint8Array, transport: 'udp' | 'tcp', limit: number, asker: Asker, reply: (answer: Uint8Array) => void): boolean {
    const query = readMessage(bytes);
    if (query === null || (query.flags & dns.FLAG_RESPONSE) !== 0) return false;
    const local = this.answer(bytes, query, asker);
    if (local !== null) {
      reply(local);
      return true;
    }
    const longest = transport === 'tcp' ? limit : Math.min(limit, udpLimit(query));
    this.setup.forwarder.ask(bytes, query, (answer, message) => {
      if (answer === null || message === null) reply(composeRefusal(bytes, query, dns.RCODE_SERVFAIL));
      else reply(this.passOn(bytes, query, answer, message, longest, transport));
    });
    return true;
  }

  /** What can be said without asking anybody; null: nothing. */
  private answer(bytes: Uint8Array, query: DnsMessage, asker: Asker): Uint8Array | null {
    const { name, type } = query.question;
    if ((query.flags & dns.OPCODE_MASK) !== 0 || query.question.class !== dns.CLASS_IN || type === dns.TYPE_ANY) {
      return composeRefusal(bytes, query, dns.RCODE_NOTIMP);
    }
    if (type >= FIRST_TRANSFER) return composeRefusal(bytes, query, dns.RCODE_REFUSED);
    if (name === 'localhost' || name.endsWith('.localhost')) return this.addresses(bytes, query, LOOPBACK);
    const reverse = type === dns.TYPE_PTR ? reverseAddress(name) : null;
    if (reverse !== null) return this.pointer(bytes, query, reverse);
    const normal = normalName(name);
    const denial = this.denial(normal, name);
    if (denial !== null) {
      this.setup.onDenied(name, denial, asker);
      return composeRefusal(bytes, query, dns.RCODE_NXDOMAIN, true);
    }
    return this.fromHosts(bytes, query, normal ?? '') ?? this.withoutHints(bytes, query);
  }

  private denial(normal: string | null, name: string): Verdict | null {
    const { policy } = this.setup;
    if (normal === null) {
      // No host has such a name (or it is the root). It may be a service's, which has no address.
      return policy.hasNameRules
        ? { isAllowed: false, rule: null, reason: `${name === '' ? 'the root' : 'such a name'} is not resolved`, isByName: false }
        : null;
    }
    const verdict = policy.judgeName(normal);
    return verdict.isAllowed ? null : verdict;
  }

  private fromHosts(bytes: Uint8Array, query: DnsMessage, name: string): Uint8Array | null {
    const known = this.setup.hosts.get(name);
    const { type } = query.question;
    if (known === undefined || (type !== dns.TYPE_A && type !== dns.TYPE_AAAA)) return null;
    for (const address of known) this.setup.bindings.bind(name, address, 0, this.setup.now());
    return this.addresses(bytes, query, known);
  }

  private withoutHints(bytes: Uint8Array, query: DnsMessage): Uint8Array | null {
    const { type } = query.question;
    const isHint = type === dns.TYPE_HTTPS || type === dns.TYPE_SVCB;
    return isHint && this.setup.policy.hasNameRules ? this.addresses(bytes, query, NO_ADDRESSES) : null;
  }

  /** Those of `addresses` that the question's type is about. */
  private addresses(bytes: Uint8Array, query: DnsMessage, addresses: readonly IpAddress[]): Uint8Array {
    const { type } = query.question;
    const wanted = addresses.filter((address) => type === (address.isIpv4 ? dns.TYPE_A : dns.TYPE_AAAA));
    return composeAnswer(
      bytes,
      query,
      wanted.map((address): LocalAnswer => ({ address })),
    );
  }

  private pointer(bytes: Uint8Array, query: DnsMessage, address: IpAddress): Uint8Array | null {
    const names = this.setup.bindings.namesOf(address, this.setup.now());
    if (names.length > 0) return composeAnswer(bytes, query, [{ name: names[0]! }]);
    return this.setup.policy.hasNameRules ? composeRefusal(bytes, query, dns.RCODE_NXDOMAIN) : null;
  }

  private passOn(
    bytes: Uint8Array,
    query: DnsMessage,
    answer: Uint8Array,
    message: DnsMessage,
    limit: number,
    transport: 'udp' | 'tcp',
  ): Uint8Array {
    this.bindAnswers(query.question.name, answer, message);
    if (answer.length <= limit) return withId(answer, query.id);
    return transport === 'udp' ? composeTruncated(bytes, query) : composeRefusal(bytes, query, dns.RCODE_SERVFAIL);
  }

  /** Follows the chain of CNAME records from the name asked for to its addresses. Records of other names do not count. */
  private bindAnswers(asked: string, bytes: Uint8Array, message: DnsMessage): void {
    const name = normalName(asked);
    if (name === null) return;
    const { bindings, now } = this.setup;
    let owner = asked;
    let ttl = Infinity;
    for (let steps = message.answers.length; steps >= 0; steps--) {
      for (const found of addressesOf(bytes, message, owner)) bindings.bind(name, found.address, Math.min(ttl, found.ttl), now());
      const alias = message.answers.find((answer) => answer.type === dns.TYPE_CNAME && answer.name === owner);
      if (alias === undefined) return;
      owner = alias.target;
      ttl = Math.min(ttl, alias.ttl);
    }
  }
}
