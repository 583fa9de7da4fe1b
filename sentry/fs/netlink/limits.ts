/** Bounds of netlink sockets. */

/** Bytes of the requests of one send. */
export const NETLINK_REQUEST_MAX = 65_536;
/** Bytes after which a piece of a dump is handed over (Linux NLMSG_GOODSIZE): readers often have room for one page. */
export const NETLINK_CHUNK = 3500;
