/**
 * Neighbour discovery messages (RFC 4861, sections 4.1 to 4.6; RFC 4862): the ICMPv6 header, fixed fields, and options of type and length
 * in units of eight bytes.
 *
 *     solicitation    rest: reserved             target(16)  options
 *     advertisement   rest: R S O flags          target(16)  options
 *     router adv.     rest: hop limit, M O, lifetime; reachable time(4) retransmission time(4) options
 */
import { NDP_OPTIONS_MAX } from '../limits.ts';
import { IpAddress } from '../address.ts';
import { HardwareAddress } from './ethernet.ts';

export const NDP_TARGET_OFFSET = 8;
/** Bytes before the options. */
export const NDP_SOLICITATION_LENGTH = 24;
export const NDP_ROUTER_SOLICITATION_LENGTH = 8;
export const NDP_ROUTER_ADVERTISEMENT_LENGTH = 16;
export const NDP_REDIRECT_LENGTH = 40;
export const NDP_LINK_OPTION_LENGTH = 8;
export const OPTION_SOURCE_LINK = 1;
export const OPTION_TARGET_LINK = 2;
const OPTION_PREFIX = 3;
const OPTION_MTU = 5;
export const ADVERTISEMENT_ROUTER = 0x80000000 | 0;
export const ADVERTISEMENT_SOLICITED = 0x40000000;
export const ADVERTISEMENT_OVERRIDE = 0x20000000;
/** Every message is sent with this hop limit, and one that was routed is refused (RFC 4861, section 3.1). */
export const NDP_HOP_LIMIT = 255;
const PREFIXES_MAX = 8;

/** A prefix information option (RFC 4861, section 4.6.2). Lifetimes in seconds, Infinity for all ones. */
export class PrefixInformation {
  readonly prefix = new IpAddress();
  bits = 0;
  isOnLink = false;
  isAutonomous = false;
  validSeconds = 0;
  preferredSeconds = 0;
}

/** The options of one message. Scratch. */
export class NdpOptions {
  readonly link = new HardwareAddress();
  hasSourceLink = false;
  hasTargetLink = false;
  mtu = 0;
  prefixCount = 0;
  readonly prefixes: readonly PrefixInformation[] = Array.from({ length: PREFIXES_MAX }, () => new PrefixInformation());

  /** False when an option is malformed: the whole message is then refused (RFC 4861, section 6.1). */
  parse(view: DataView, from: number, end: number): boolean {
    this.hasSourceLink = false;
    this.hasTargetLink = false;
    this.mtu = 0;
    this.prefixCount = 0;
    let at = from;
    for (let count = 0; at < end; count++) {
      if (at + 8 > end || count > NDP_OPTIONS_MAX) return false;
      const size = view.getUint8(at + 1) * 8;
      if (size === 0 || at + size > end) return false;
      this.option(view, at, view.getUint8(at), size);
      at += size;
    }
    return true;
  }

  private option(view: DataView, at: number, kind: number, size: number): void {
    if (kind === OPTION_SOURCE_LINK || kind === OPTION_TARGET_LINK) {
      this.link.read(view, at + 2);
      if (kind === OPTION_SOURCE_LINK) this.hasSourceLink = true;
      else this.hasTargetLink = true;
    } else if (kind === OPTION_MTU) this.mtu = view.getInt32(at + 4);
    else if (kind === OPTION_PREFIX && size === 32 && this.prefixCount < PREFIXES_MAX)
      readPrefix(this.prefixes[this.prefixCount++]!, view, at);
  }
}

function readPrefix(into: PrefixInformation, view: DataView, at: number): void {
  const flags = view.getUint8(at + 3);
  into.bits = view.getUint8(at + 2);
  into.isOnLink = (flags & 0x80) !== 0;
  into.isAutonomous = (flags & 0x40) !== 0;
  into.validSeconds = lifetime(view.getUint32(at + 4));
  into.preferredSeconds = lifetime(view.getUint32(at + 8));
  into.prefix.read(view, at + 16);
}

function lifetime(seconds: number): number {
  return seconds === 0xffffffff ? Infinity : seconds;
}

/** Writes a link-layer address option of eight bytes. */
export function writeLinkOption(view: DataView, offset: number, kind: number, address: HardwareAddress): void {
  view.setUint16(offset, (kind << 8) | 1);
  address.write(view, offset + 2);
}
