/**
 * Netlink: netlink(7), rtnetlink(7), sock_diag(7). Numbers of linux/netlink.h, rtnetlink.h, if_link.h, if_addr.h, neighbour.h, fib_rules.h,
 * inet_diag.h. Structs are short and written in place; their sizes stand here.
 */

/** Protocols of AF_NETLINK. */
export const NETLINK_ROUTE = 0;
export const NETLINK_SOCK_DIAG = 4;

/** nlmsghdr flags and types. */
export const NLM_F_REQUEST = 1;
export const NLM_F_MULTI = 2;
export const NLM_F_ACK = 4;
export const NLM_F_DUMP = 768;
export const NLM_F_REPLACE = 256;
export const NLM_F_EXCL = 512;
export const NLM_F_CREATE = 1024;

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
export const NLMSG_MIN_TYPE = 16;

/** Options of SOL_NETLINK. */
export const NETLINK_ADD_MEMBERSHIP = 1;
export const NETLINK_DROP_MEMBERSHIP = 2;
export const NETLINK_PKTINFO = 3;
export const NETLINK_BROADCAST_ERROR = 4;
export const NETLINK_NO_ENOBUFS = 5;
export const NETLINK_LISTEN_ALL_NSID = 8;
export const NETLINK_CAP_ACK = 10;
export const NETLINK_EXT_ACK = 11;
export const NETLINK_GET_STRICT_CHK = 12;

/** Messages of NETLINK_ROUTE. */
export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
export const RTM_SETLINK = 19;
export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
export const RTM_GETADDR = 22;
export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
export const RTM_GETROUTE = 26;
export const RTM_NEWNEIGH = 28;
export const RTM_DELNEIGH = 29;
export const RTM_GETNEIGH = 30;
export const RTM_NEWRULE = 32;
export const RTM_GETRULE = 34;
export const RTM_GETQDISC = 38;

/** Multicast groups. */
export const RTNLGRP_LINK = 1;
export const RTNLGRP_NEIGH = 3;
export const RTNLGRP_IPV4_IFADDR = 5;
export const RTNLGRP_IPV4_ROUTE = 7;
export const RTNLGRP_IPV6_IFADDR = 9;
export const RTNLGRP_IPV6_ROUTE = 11;

/** Attributes of links. */
export const IFLA_ADDRESS = 1;
export const IFLA_BROADCAST = 2;
export const IFLA_IFNAME = 3;
export const IFLA_MTU = 4;
export const IFLA_QDISC = 6;
export const IFLA_TXQLEN = 13;
export const IFLA_OPERSTATE = 16;
export const IFLA_LINKMODE = 17;
export const IFLA_STATS64 = 23;
export const IFLA_GROUP = 27;
export const IFLA_PROMISCUITY = 30;
export const IFLA_NUM_TX_QUEUES = 31;
export const IFLA_NUM_RX_QUEUES = 32;
export const IFLA_CARRIER = 33;

/** Attributes of addresses. */
export const IFA_ADDRESS = 1;
export const IFA_LOCAL = 2;
export const IFA_LABEL = 3;
export const IFA_BROADCAST = 4;
export const IFA_CACHEINFO = 6;
export const IFA_FLAGS = 8;

/** Attributes of routes, and their fields. */
export const RTA_DST = 1;
export const RTA_SRC = 2;
export const RTA_OIF = 4;
export const RTA_GATEWAY = 5;
export const RTA_PRIORITY = 6;
export const RTA_PREFSRC = 7;
export const RTA_METRICS = 8;
export const RTA_CACHEINFO = 12;
export const RTA_TABLE = 15;
export const RTA_PREF = 20;
export const RTA_UID = 25;
export const RTAX_MTU = 2;

export const RT_TABLE_MAIN = 254;
export const RT_TABLE_LOCAL = 255;
export const RT_TABLE_DEFAULT = 253;
export const RTN_LOCAL = 2;
export const RTN_UNICAST = 1;
export const RTN_BROADCAST = 3;
export const RTN_MULTICAST = 5;
export const RTPROT_KERNEL = 2;
export const RTPROT_BOOT = 3;
export const RTNH_F_ONLINK = 4;
export const RTM_F_CLONED = 512;
/** What a route that was looked up leads to (linux/in_route.h). */
export const RTCF_BROADCAST = 0x1000_0000;
export const RTCF_MULTICAST = 0x2000_0000;
export const RTCF_LOCAL = 0x8000_0000;
/** struct rta_cacheinfo. */
export const RTA_CACHEINFO_WORDS = 8;

/** Attributes of neighbours. */
export const NDA_DST = 1;
export const NDA_LLADDR = 2;
export const NDA_CACHEINFO = 3;
export const NDA_PROBES = 4;
export const NTF_ROUTER = 128;

/** Attributes of rules. */
export const FRA_TABLE = 15;
export const FRA_PRIORITY = 6;
export const FRA_PROTOCOL = 21;
export const FRA_SUPPRESS_PREFIXLEN = 14;
export const FR_ACT_TO_TBL = 1;

/** NETLINK_SOCK_DIAG. */
export const SOCK_DIAG_BY_FAMILY = 20;
export const INET_DIAG_INFO = 2;
export const INET_DIAG_SKMEMINFO = 7;
export const INET_DIAG_CONG = 4;
export const INET_DIAG_SHUTDOWN = 8;
export const INET_DIAG_SKV6ONLY = 11;

/** struct nlmsghdr {len, type, flags, seq, pid}; all messages and attributes begin at multiples of 4. */
export const NLMSG_HEADER_SIZE = 16;
/** struct rtattr {len, type}. */
export const ATTRIBUTE_HEADER_SIZE = 4;
/** The two high bits of an attribute's type say how it is nested and in which order. */
export const ATTRIBUTE_TYPE_MASK = 0x3fff;
/** struct ifinfomsg, ifaddrmsg, rtmsg, ndmsg, fib_rule_hdr. */
export const IFINFOMSG_SIZE = 16;
export const IFADDRMSG_SIZE = 8;
export const RTMSG_SIZE = 12;
export const NDMSG_SIZE = 12;
export const RULE_HEADER_SIZE = 12;
/** struct inet_diag_req_v2, inet_diag_msg, unix_diag_req, unix_diag_msg. */
export const INET_DIAG_REQUEST_SIZE = 56;
export const INET_DIAG_MESSAGE_SIZE = 72;
export const UNIX_DIAG_REQUEST_SIZE = 24;
export const UNIX_DIAG_MESSAGE_SIZE = 16;
/** Attributes of unix_diag, and the bits that ask for them. */
export const UNIX_DIAG_NAME = 0;
export const UNIX_DIAG_PEER = 2;
export const UNIX_DIAG_RQLEN = 4;
export const UDIAG_SHOW_NAME = 1;
export const UDIAG_SHOW_PEER = 4;
export const UDIAG_SHOW_RQLEN = 0x10;
/** struct sockaddr_nl {family, pad, pid, groups}. */
export const SOCKADDR_NL_SIZE = 12;
