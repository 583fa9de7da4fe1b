/**
 * Makes the host's own stack deaf on an interface that a sandbox has taken over: otherwise it would answer too, with resets, for the addresses are its own
 * as well.
 *
 * Two rules of policy routing (ip-rule(8)) in the namespace do it: what arrives by the interface goes nowhere, before the addresses of the namespace
 * are looked at. Packet sockets see frames before that. Addresses and routes stay where they are, so that whoever made them still finds them, and so
 * does the next sandbox in the namespace. Taking the addresses off, as others do, would end that; it is done where a host has no such rules.
 */
import { EEXIST, errnoName } from '#sentry/abi/errno.ts';
import { AF_INET, AF_INET6 } from '#sentry/abi/socket.ts';
import { parseAddress } from '#sentry/netstack/address.ts';
import { DNS_PORT } from '#sentry/netstack/udp/resolver-relay.ts';
import { UserError } from '../errors.ts';
import type { HostAddressFacts, HostInterfaceFacts } from './host-interfaces.ts';
import { NLM_F_CREATE, NLM_F_EXCL } from './rtnetlink.ts';
import type { Rtnetlink } from './rtnetlink.ts';

const RTM_DELADDR = 21;
const RTM_NEWRULE = 32;
const RTM_DELRULE = 33;
const IFADDRMSG = 8;
const IFA_LOCAL = 2;

// struct fib_rule_hdr and its attributes.
const FIB_RULE_HDR = 12;
const FRA_IIFNAME = 3;
const FRA_PRIORITY = 6;
const FRA_IP_PROTO = 22;
const FRA_SPORT_RANGE = 23;
const FR_ACT_TO_TBL = 1;
const FR_ACT_BLACKHOLE = 6;
const RT_TABLE_LOCAL = 255;
const IPPROTO_UDP = 17;

/** What the host's stack hears all the same: what others answer to a name server that a manager keeps in the namespace (namespace-resolver.ts). */
export type StillHears = 'nothing' | 'answers to a resolver';

/** Throws UserError where the host does not let it be silenced. */
export function silence(routing: Rtnetlink, { link, addresses }: HostInterfaceFacts, stillHears: StillHears): void {
  for (const family of [AF_INET, AF_INET6]) {
    // Before the rule that is made next. A host that has no such rules is none that can be silenced by rules.
    if (stillHears === 'answers to a resolver') hearAnswers(routing, family, link.name);
    const own = addresses.filter(({ address }) => address.includes(':') === (family === AF_INET6));
    if (ignoreInput(routing, family, link.name) < 0) for (const address of own) removeAddress(routing, link.index, link.name, address);
  }
}

/** The rule for the table of local addresses comes first as the host makes it; ours has to come before. 0 or -errno. */
function ignoreInput(routing: Rtnetlink, family: number, name: string): number {
  const moved = acceptExisting(
    rule(routing, RTM_NEWRULE, family, FR_ACT_TO_TBL, RT_TABLE_LOCAL, 1).acknowledged(NLM_F_CREATE | NLM_F_EXCL),
  );
  if (moved < 0) return moved;
  const blackhole = rule(routing, RTM_NEWRULE, family, FR_ACT_BLACKHOLE, 0, 0).attributeText(FRA_IIFNAME, name);
  const ignored = acceptExisting(blackhole.acknowledged(NLM_F_CREATE | NLM_F_EXCL));
  if (ignored < 0) return ignored;
  rule(routing, RTM_DELRULE, family, FR_ACT_TO_TBL, RT_TABLE_LOCAL, 0).acknowledged(0); // -ENOENT: an earlier sandbox has done so
  return 0;
}

/** UDP from the port of name servers goes the way of everything else. */
function hearAnswers(routing: Rtnetlink, family: number, name: string): void {
  rule(routing, RTM_NEWRULE, family, FR_ACT_TO_TBL, RT_TABLE_LOCAL, 0)
    .attributeText(FRA_IIFNAME, name)
    .attribute8(FRA_IP_PROTO, IPPROTO_UDP)
    .attribute32(FRA_SPORT_RANGE, DNS_PORT | (DNS_PORT << 16))
    .acknowledged(NLM_F_CREATE | NLM_F_EXCL);
}

function acceptExisting(result: number): number {
  return result === -EEXIST ? 0 : result;
}

function rule(routing: Rtnetlink, type: number, family: number, action: number, table: number, priority: number): Rtnetlink {
  return routing.start(type, FIB_RULE_HDR).set8(0, family).set8(4, table).set8(7, action).attribute32(FRA_PRIORITY, priority);
}

function removeAddress(routing: Rtnetlink, index: number, name: string, { address, prefixLength }: HostAddressFacts): void {
  const parsed = parseAddress(address)!;
  const request = routing
    .start(RTM_DELADDR, IFADDRMSG)
    .set8(0, parsed.isIpv4 ? AF_INET : AF_INET6)
    .set8(1, prefixLength)
    .set32(4, index);
  const removed = request.attributeAddress(IFA_LOCAL, parsed).acknowledged(0);
  if (removed >= 0) return;
  throw new UserError(
    `the host's own stack cannot be kept off ${name} (${errnoName(-removed)}); taking over an interface needs CAP_NET_ADMIN.`,
  );
}
