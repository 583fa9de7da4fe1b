/**
 * What the stack counts, by the names of RFC 4293, RFC 4113 and Linux: /proc/net/snmp, /proc/net/snmp6 and /proc/net/netstat show them.
 */
export class IpCounters {
  InReceives = 0;
  InHdrErrors = 0;
  InAddrErrors = 0;
  InTruncatedPkts = 0;
  InUnknownProtos = 0;
  InDiscards = 0;
  InDelivers = 0;
  InMcastPkts = 0;
  InBcastPkts = 0;
  OutMcastPkts = 0;
  OutBcastPkts = 0;
  OutRequests = 0;
  OutDiscards = 0;
  OutNoRoutes = 0;
  OutTransmits = 0;
  ReasmTimeout = 0;
  ReasmReqds = 0;
  ReasmOKs = 0;
  ReasmFails = 0;
  ReasmOverlaps = 0;
  FragOKs = 0;
  FragFails = 0;
  FragCreates = 0;
}

export class IcmpCounters {
  InMsgs = 0;
  InErrors = 0;
  InCsumErrors = 0;
  OutMsgs = 0;
  OutErrors = 0;
  OutRateLimitGlobal = 0;
  /** Messages by type. */
  readonly inTypes = new Float64Array(256);
  readonly outTypes = new Float64Array(256);
}

export class UdpCounters {
  InDatagrams = 0;
  NoPorts = 0;
  InErrors = 0;
  OutDatagrams = 0;
  RcvbufErrors = 0;
  SndbufErrors = 0;
  InCsumErrors = 0;
  IgnoredMulti = 0;
  MemErrors = 0;
}

/** Segments refused before TCP saw them. */
export class TcpInputCounters {
  InErrs = 0;
  InCsumErrors = 0;
}

export class StackCounters {
  readonly ipv4 = new IpCounters();
  readonly ipv6 = new IpCounters();
  readonly icmpv4 = new IcmpCounters();
  readonly icmpv6 = new IcmpCounters();
  readonly udpv4 = new UdpCounters();
  readonly udpv6 = new UdpCounters();
  readonly udpLitev4 = new UdpCounters();
  readonly udpLitev6 = new UdpCounters();
  readonly tcp = new TcpInputCounters();
  /** Dropped because the backlog was full, or no packet was left (/proc/net/softnet_stat). */
  backlogDropped = 0;
  noMemory = 0;

  ip(version: 4 | 6): IpCounters {
    return version === 4 ? this.ipv4 : this.ipv6;
  }

  icmp(version: 4 | 6): IcmpCounters {
    return version === 4 ? this.icmpv4 : this.icmpv6;
  }

  udpLite(version: 4 | 6): UdpCounters {
    return version === 4 ? this.udpLitev4 : this.udpLitev6;
  }

  udp(version: 4 | 6): UdpCounters {
    return version === 4 ? this.udpv4 : this.udpv6;
  }
}
