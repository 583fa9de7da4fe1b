/**
 * What a peer's SYN said and what we make of it, before there is a connection: four-tuple, path, negotiated options. A request of a listener
 * (syn-request.ts) and a SYN held by an interceptor (intercept.ts) are such offers.
 */
import { Path } from '../ip/path.ts';
import type { IpHeader } from '../ip/header.ts';
import type { TcpContext } from './context.ts';
import type { ControlBlock } from './control-block.ts';
import { TcpEntry } from './entry.ts';
import type { TcpHeader } from './header.ts';
import { mssOfPath } from './mss.ts';
import { firstWindow, mssOf, scaleToOffer } from './negotiate.ts';
import type { TcpOptions } from './options.ts';

export abstract class SynOffer extends TcpEntry {
  readonly path = new Path();
  initialReceive = 0;
  initialSend = 0;
  peerMss = 536;
  announcedMss = 536;
  sendScale = 0;
  /** -1: the peer does not scale. */
  receiveScale = -1;
  usesTimestamps = false;
  usesSack = false;
  recentTimestamp = 0;
  recentStampMs = 0;
  timestampOffset = 0;
  receiveWindow = 0;
  sentUs = 0;
  /** SYN|ACKs repeated by the timer. */
  retransmits = 0;
}

/** Sets four-tuple and path from what arrived. False: no way leads back. `boundInterface`: the listener's, 0: any. */
export function locate(context: TcpContext, offer: SynOffer, ip: IpHeader, header: TcpHeader, boundInterface: number): boolean {
  offer.local.copy(ip.destination);
  offer.remote.copy(ip.source);
  offer.localPort = header.destinationPort;
  offer.remotePort = header.sourcePort;
  offer.scope = ip.source.isLinkLocal && !ip.source.isIpv4 ? ip.interfaceIndex : 0;
  offer.boundInterface = boundInterface;
  const { path } = offer;
  path.destination.copy(ip.source);
  path.source.copy(ip.destination);
  path.isSourceGiven = true;
  path.boundInterface = offer.scope !== 0 ? offer.scope : boundInterface;
  return context.lower.route(path) >= 0;
}

/** Reads the SYN's options. */
export function readOffer(context: TcpContext, offer: SynOffer, header: TcpHeader, options: TcpOptions): void {
  offer.initialReceive = header.seq;
  offer.peerMss = mssOf(header, offer.remote.isIpv4);
  offer.usesSack = header.sackPermitted !== 0;
  offer.usesTimestamps = header.timestamps !== 0;
  offer.recentTimestamp = header.tsValue;
  offer.recentStampMs = context.nowMs;
  if (header.windowScale >= 0) {
    offer.sendScale = header.windowScale;
    offer.receiveScale = scaleToOffer();
  }
  answerOffer(context, offer, options);
}

/** Our side of the options. */
export function answerOffer(context: TcpContext, offer: SynOffer, options: TcpOptions): void {
  offer.announcedMss = mssOfPath(offer.path, offer.remote.isIpv4, options.maxSegment);
  offer.receiveWindow = firstWindow(options, offer.announcedMss);
  offer.timestampOffset = context.secrets.timestampOffset(offer.local, offer.remote);
}

export function chooseSequence(context: TcpContext, offer: SynOffer): void {
  const { local, localPort, remote, remotePort } = offer;
  offer.initialSend = context.secrets.initialSequence(local, localPort, remote, remotePort, context.nowNs);
}

/** Gives a new connection what was agreed on; it is to be in SYN_RECEIVED. */
export function takeOver(connection: ControlBlock, offer: SynOffer): void {
  const { context, path } = connection;
  connection.identify(offer);
  path.destination.copy(offer.remote);
  path.source.copy(offer.local);
  path.isSourceGiven = true;
  path.boundInterface = offer.path.boundInterface;
  // The route was there for the SYN; if it has gone meanwhile, sending will find out.
  context.lower.route(path);
  connection.initialSend = offer.initialSend;
  connection.sendUnacked = offer.initialSend;
  connection.sendNext = (offer.initialSend + 1) | 0;
  connection.writeEnd = connection.sendNext;
  connection.initialReceive = offer.initialReceive;
  connection.receiveNext = (offer.initialReceive + 1) | 0;
  connection.acknowledged = connection.receiveNext;
  connection.receiveWindow = offer.receiveWindow;
  connection.peerMss = offer.peerMss;
  connection.announcedMss = offer.announcedMss;
  connection.sendScale = offer.sendScale;
  connection.receiveScale = Math.max(offer.receiveScale, 0);
  connection.usesTimestamps = offer.usesTimestamps;
  connection.usesSack = offer.usesSack;
  connection.timestampOffset = offer.timestampOffset;
  connection.recentTimestamp = offer.recentTimestamp;
  connection.recentStampMs = offer.recentStampMs;
  connection.hasRecentTimestamp = offer.usesTimestamps;
  connection.retransmits = offer.retransmits;
  connection.lastSentUs = offer.sentUs;
}
