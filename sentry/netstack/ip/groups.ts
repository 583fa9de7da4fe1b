/**
 * Multicast groups of interfaces, and what the link is told of them: IGMPv3 and MLDv2 as reports of joins and leaves and answers to queries,
 * the older versions when the querier speaks them (RFC 3376, RFC 3810, sections on hosts; RFC 2236, RFC 2710).
 *
 * Sources are not filtered: every group is joined for any source. 224.0.0.1 and ff02::1 are joined silently, as is everything of node scope.
 */
import { EADDRNOTAVAIL, ENOBUFS } from '#sentry/abi/errno.ts';
import { IpAddress } from '../address.ts';
import { addBytes, finishSum } from '../checksum.ts';
import { Timer } from '../../lib/timer-queue.ts';
import { GROUPS_PER_INTERFACE_MAX } from '../limits.ts';
import { GroupMembership } from '../link/interface.ts';
import type { NetworkInterface } from '../link/interface.ts';
import type { InterfaceListener, InterfaceTable } from '../link/interface-table.ts';
import type { Packet } from '../packet.ts';
import { selectSource } from '../route/source-selection.ts';
import { MILLISECOND, SECOND } from '../stack-state.ts';
import type { StackState } from '../stack-state.ts';
import {
  CHANGE_TO_EXCLUDE,
  CHANGE_TO_INCLUDE,
  IGMP_LENGTH,
  IGMP_QUERY,
  IGMP_RECORD_LENGTH,
  IGMP_V1_REPORT,
  IGMP_V2_LEAVE,
  IGMP_V2_REPORT,
  IGMP_V3_QUERY_LENGTH,
  IGMP_V3_REPORT,
  igmpResponseMs,
  MLD2_QUERY_LENGTH,
  MLD_LENGTH,
  MLD_RECORD_LENGTH,
  mldResponseMs,
  MODE_IS_EXCLUDE,
} from '../wire/group-messages.ts';
import { ICMPV6_MLD2_REPORT, ICMPV6_MLD_DONE, ICMPV6_MLD_QUERY, ICMPV6_MLD_REPORT, writeIcmp } from '../wire/icmp.ts';
import { writeIpv4 } from '../wire/ipv4.ts';
import { IPV4_HEADER_LENGTH } from '../wire/ipv4.ts';
import { IPV6_HEADER_LENGTH, NEXT_HOP_BY_HOP, writeIpv6, writeRouterAlert } from '../wire/ipv6.ts';
import type { Arrival } from './arrival.ts';
import type { ControlOutput } from './control-output.ts';
import { IPPROTO_ICMPV6, IPPROTO_IGMP } from './header.ts';

/** Unsolicited reports and the longest pause between them (Robustness Variable, Unsolicited Report Interval). */
const REPORTS = 2;
const REPORT_INTERVAL_NS = SECOND;
/** As long as an older querier has been heard (Older Version Querier Present Timeout). */
const OLDER_QUERIER_NS = 260 * SECOND;
/** Answers to one query are spread over this at least, whatever it asks for: each group answers by a packet of its own. */
const RESPONSE_MIN_MS = 1000;
const ALERT_LENGTH = 8;
const IGMP_ROUTERS = new IpAddress().setIpv4(0xe0000016);
const ALL_ROUTERS4 = new IpAddress().setIpv4(0xe0000002);
const MLD_ROUTERS = new IpAddress().set(0xff020000, 0, 0, 0x16);
const ALL_ROUTERS6 = new IpAddress().set(0xff020000, 0, 0, 2);
const ALL_HOSTS4 = 0xe0000001 | 0;
const ANY4 = new IpAddress().setIpv4(0);
const ANY6 = new IpAddress();

export class Groups implements InterfaceListener {
  private readonly state: StackState;
  private readonly interfaces: InterfaceTable;
  private readonly control: ControlOutput;
  private readonly group = new IpAddress();
  private olderIgmpUntilNs = 0;
  private olderMldUntilNs = 0;

  constructor(state: StackState, interfaces: InterfaceTable, control: ControlOutput) {
    this.state = state;
    this.interfaces = interfaces;
    this.control = control;
  }

  isMember(owner: NetworkInterface, group: IpAddress): boolean {
    if (group.isIpv4 ? group.w3 === ALL_HOSTS4 : group.w0 >>> 16 === 0xff01 || isAllNodes(group)) return true;
    return owner.findGroup(group) !== null;
  }

  /** One more user of a group on an interface: 0 or -ENOBUFS. */
  join(owner: NetworkInterface, group: IpAddress): number {
    const known = owner.findGroup(group);
    if (known !== null) {
      known.users++;
      return 0;
    }
    if (owner.groups.length >= GROUPS_PER_INTERFACE_MAX) return -ENOBUFS;
    const membership = new GroupMembership(owner, group);
    owner.groups.push(membership);
    if (!isReported(group) || owner.device === null) return 0;
    membership.timer = new Timer(() => {
      this.reportAgain(membership);
    });
    membership.reportsLeft = REPORTS;
    this.reportAgain(membership, CHANGE_TO_EXCLUDE);
    return 0;
  }

  /** One user less: 0 or -EADDRNOTAVAIL. */
  leave(owner: NetworkInterface, group: IpAddress): number {
    const membership = owner.findGroup(group);
    if (membership === null) return -EADDRNOTAVAIL;
    if (--membership.users > 0) return 0;
    owner.groups.splice(owner.groups.indexOf(membership), 1);
    if (membership.timer === null) return 0;
    this.state.timers.cancel(membership.timer);
    this.report(membership, CHANGE_TO_INCLUDE);
    return 0;
  }

  /** A link that comes up hears of all groups. */
  interfaceChanged(owner: NetworkInterface, wasUp: boolean): void {
    if (!owner.isUp || wasUp) return;
    for (const membership of owner.groups) {
      if (membership.timer === null) continue;
      membership.reportsLeft = REPORTS;
      this.reportAgain(membership, CHANGE_TO_EXCLUDE);
    }
  }

  private reportAgain(membership: GroupMembership, record: number = MODE_IS_EXCLUDE): void {
    this.report(membership, membership.reportsLeft > 0 ? CHANGE_TO_EXCLUDE : record);
    if (membership.reportsLeft === 0) return;
    if (--membership.reportsLeft > 0)
      this.state.timers.set(membership.timer!, this.state.nowNs + this.state.randomDelay(REPORT_INTERVAL_NS));
  }

  private report(membership: GroupMembership, record: number): void {
    if (membership.group.isIpv4) this.reportIgmp(membership, record);
    else this.reportMld(membership, record);
  }

  private reportIgmp(membership: GroupMembership, record: number): void {
    const { interface: out, group } = membership;
    const isOlder = this.state.nowNs < this.olderIgmpUntilNs;
    const length = isOlder ? IGMP_LENGTH : IGMP_LENGTH + IGMP_RECORD_LENGTH;
    const packet = this.control.make(out, length);
    if (packet === null) return;
    const { view } = packet.memory;
    const at = packet.start;
    const isLeave = record === CHANGE_TO_INCLUDE;
    if (isOlder) {
      view.setUint8(at, isLeave ? IGMP_V2_LEAVE : IGMP_V2_REPORT);
      view.setInt32(at + 4, group.w3);
    } else {
      view.setUint8(at, IGMP_V3_REPORT);
      view.setUint16(at + 6, 1);
      view.setUint8(at + IGMP_LENGTH, record);
      view.setInt32(at + IGMP_LENGTH + 4, group.w3);
    }
    view.setUint16(at + 2, finishSum(addBytes(0, view, at, length)));
    this.sendIgmp(out, packet, isOlder ? (isLeave ? ALL_ROUTERS4 : group) : IGMP_ROUTERS);
  }

  private sendIgmp(out: NetworkInterface, packet: Packet, destination: IpAddress): void {
    const { header } = this.control;
    header.prepare(selectSource(this.interfaces, out, destination, destination) ?? ANY4, destination, IPPROTO_IGMP);
    header.hopLimit = 1;
    header.trafficClass = 0xc0;
    header.dontFragment = true;
    const { length } = packet;
    writeIpv4(header, packet.memory.view, packet.prepend(IPV4_HEADER_LENGTH), length, 0);
    this.control.whole(out, packet, destination, null);
  }

  private reportMld(membership: GroupMembership, record: number): void {
    const { interface: out, group } = membership;
    const isOlder = this.state.nowNs < this.olderMldUntilNs;
    const length = isOlder ? MLD_LENGTH : 8 + MLD_RECORD_LENGTH;
    const packet = this.control.make(out, length);
    if (packet === null) return;
    const { view } = packet.memory;
    const at = packet.start;
    const isLeave = record === CHANGE_TO_INCLUDE;
    if (isOlder) group.write(view, at + 8);
    else {
      view.setUint8(at + 8, record);
      group.write(view, at + 12);
    }
    const type = isOlder ? (isLeave ? ICMPV6_MLD_DONE : ICMPV6_MLD_REPORT) : ICMPV6_MLD2_REPORT;
    this.sendMld(out, packet, isOlder ? (isLeave ? ALL_ROUTERS6 : group) : MLD_ROUTERS, type, isOlder ? 0 : 1);
  }

  /** Behind a hop-by-hop header with a router alert. While the link-local address is tentative, from `::` (RFC 3590). */
  private sendMld(out: NetworkInterface, packet: Packet, destination: IpAddress, type: number, rest: number): void {
    const { header } = this.control;
    header.prepare(out.linkLocal ?? ANY6, destination, IPPROTO_ICMPV6);
    header.version = 6;
    header.hopLimit = 1;
    const { view } = packet.memory;
    writeIcmp(header, view, packet.start, packet.length, type, 0, rest);
    const counters = this.state.counters.icmpv6;
    counters.OutMsgs++;
    counters.outTypes[type]! += 1;
    writeRouterAlert(view, packet.prepend(ALERT_LENGTH), IPPROTO_ICMPV6);
    const { length } = packet;
    writeIpv6(header, view, packet.prepend(IPV6_HEADER_LENGTH), length, NEXT_HOP_BY_HOP);
    this.control.whole(out, packet, destination, null);
  }

  /** An IGMP message: only queries, and the reports of others on the link, concern a host. */
  igmpInput(arrival: Arrival): void {
    const { payload } = arrival;
    const { view } = payload.packet!.memory;
    const at = payload.offset;
    if (payload.length < IGMP_LENGTH || finishSum(addBytes(0, view, at, payload.length)) !== 0) return;
    const type = view.getUint8(at);
    const group = this.group.setIpv4(view.getInt32(at + 4));
    if (type === IGMP_V1_REPORT || type === IGMP_V2_REPORT) this.suppress(arrival.interface!, group);
    if (type !== IGMP_QUERY) return;
    if (payload.length < IGMP_V3_QUERY_LENGTH) this.olderIgmpUntilNs = this.state.nowNs + OLDER_QUERIER_NS;
    this.queried(arrival.interface!, group, group.w3 === 0, 4, igmpResponseMs(view.getUint8(at + 1) || 100));
  }

  /** An MLD message of types 130 to 132. They come from link-local addresses over one link (RFC 3810, section 6.2). */
  mldInput(arrival: Arrival, type: number): void {
    const { payload, ip } = arrival;
    const { view } = payload.packet!.memory;
    const at = payload.offset;
    if (payload.length < MLD_LENGTH || ip.hopLimit !== 1 || !ip.source.isLinkLocal) return;
    const group = this.group.read(view, at + 8);
    if (type === ICMPV6_MLD_REPORT) this.suppress(arrival.interface!, group);
    if (type !== ICMPV6_MLD_QUERY) return;
    const isOlder = payload.length < MLD2_QUERY_LENGTH;
    if (isOlder) this.olderMldUntilNs = this.state.nowNs + OLDER_QUERIER_NS;
    const code = view.getUint16(at + 4);
    this.queried(arrival.interface!, group, group.isUnspecified, 6, isOlder ? code : mldResponseMs(code));
  }

  /** Somebody else of the group answered: that suffices for the older versions. */
  private suppress(owner: NetworkInterface, group: IpAddress): void {
    const membership = owner.findGroup(group);
    if (membership?.timer?.isSet === true && membership.reportsLeft === 0) this.state.timers.cancel(membership.timer);
  }

  /** Answers within `responseMs`, at a random time. */
  private queried(owner: NetworkInterface, group: IpAddress, isGeneral: boolean, version: 4 | 6, responseMs: number): void {
    for (const membership of owner.groups) {
      if (membership.timer === null || membership.group.version !== version) continue;
      if (!isGeneral && !membership.group.equals(group)) continue;
      const at = this.state.nowNs + this.state.randomDelay(Math.max(responseMs, RESPONSE_MIN_MS) * MILLISECOND);
      if (!membership.timer.isSet || membership.timer.deadlineNs > at) this.state.timers.set(membership.timer, at);
    }
  }
}

function isAllNodes(group: IpAddress): boolean {
  return group.w0 >>> 16 === 0xff02 && group.w3 === 1 && (group.w1 | group.w2) === 0;
}

/** Groups that stay on the node, and those that everybody is in, are nobody else's business. */
function isReported(group: IpAddress): boolean {
  if (group.isIpv4) return group.w3 !== ALL_HOSTS4;
  return group.scope > 1 && !isAllNodes(group);
}
