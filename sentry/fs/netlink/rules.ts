/** Rules: RTM_GETRULE (struct fib_rule_hdr). There are those that Linux begins with, and no others. */
import * as abi from '#sentry/abi/netlink.ts';
import { AF_INET, AF_INET6, AF_UNSPEC } from '#sentry/abi/socket.ts';
import type { Network } from '../inet/network.ts';
import type { NetlinkRequest } from './message-reader.ts';
import type { DumpItem, Reply } from './protocol.ts';

interface Rule {
  readonly priority: number;
  readonly table: number;
}

const LOCAL: Rule = { priority: 0, table: abi.RT_TABLE_LOCAL };
const MAIN: Rule = { priority: 32_766, table: abi.RT_TABLE_MAIN };
const DEFAULT: Rule = { priority: 32_767, table: abi.RT_TABLE_DEFAULT };
const RULES: readonly (readonly [number, readonly Rule[]])[] = [
  [AF_INET, [LOCAL, MAIN, DEFAULT]],
  [AF_INET6, [LOCAL, MAIN]],
];
const NO_PREFIX_LENGTH = 0xffff_ffff;

export function dumpRules(_network: Network, request: NetlinkRequest): DumpItem[] {
  const wanted = request.u8(0);
  return RULES.filter(([family]) => wanted === AF_UNSPEC || wanted === family).flatMap(([family, rules]) =>
    rules.map((rule) => (reply: Reply) => {
      writeRule(reply, family, rule);
    }),
  );
}

function writeRule(reply: Reply, family: number, { priority, table }: Rule): void {
  const writer = reply.begin(abi.RTM_NEWRULE);
  for (const byte of [family, 0, 0, 0, table, 0, 0, abi.FR_ACT_TO_TBL]) writer.u8(byte);
  writer.u32(0);
  writer.attributeU32(abi.FRA_TABLE, table);
  writer.attributeU32(abi.FRA_SUPPRESS_PREFIXLEN, NO_PREFIX_LENGTH);
  writer.attributeU8(abi.FRA_PROTOCOL, abi.RTPROT_KERNEL);
  if (priority !== 0) writer.attributeU32(abi.FRA_PRIORITY, priority);
  writer.end();
}
