/**
 * Multicast membership messages: IGMP (RFC 2236, RFC 3376) and MLD (RFC 2710, RFC 3810).
 *
 * Hosts need queries read, and reports written. Both families' newer reports are a list of records {type, aux length 0, sources 0, group};
 * the older ones carry one group.
 *
 *     IGMP   0 type  1 max response  2 checksum  4 group (query, v1/v2 report); v3 report: 6 records, 8 …
 *     MLD    ICMPv6 header, 4 max response, 8 group; v2 report: 6 records, 8 …
 */
export const IGMP_QUERY = 0x11;
export const IGMP_V1_REPORT = 0x12;
export const IGMP_V2_REPORT = 0x16;
export const IGMP_V2_LEAVE = 0x17;
export const IGMP_V3_REPORT = 0x22;
export const IGMP_LENGTH = 8;
/** A v3 query is longer than the older ones. */
export const IGMP_V3_QUERY_LENGTH = 12;
export const MLD_LENGTH = 24;
export const MLD2_QUERY_LENGTH = 28;

/** Group record types (RFC 3376, section 4.2.12). */
export const MODE_IS_EXCLUDE = 2;
export const CHANGE_TO_INCLUDE = 3;
export const CHANGE_TO_EXCLUDE = 4;

export const IGMP_RECORD_LENGTH = 8;
export const MLD_RECORD_LENGTH = 20;

/** Milliseconds of an IGMP or MLD maximum response code, exponential beyond the threshold (RFC 3376 4.1.1 in tenths of a second, RFC 3810 5.1.3 in ms). */
export function igmpResponseMs(code: number): number {
  return (code < 128 ? code : ((code & 15) | 16) << (((code >>> 4) & 7) + 3)) * 100;
}

export function mldResponseMs(code: number): number {
  return code < 32_768 ? code : ((code & 0xfff) | 0x1000) << (((code >>> 12) & 7) + 3);
}
