/**
 * Who uses an endpoint: the guest thread that connected it or sent by it last. The stack only keeps it, for those who report what a guest wanted
 * (sentry/netstack/user); nothing is decided by it. The kernel's task satisfies it.
 */
export interface EndpointOwner {
  /** Its process, by the number it has for itself. */
  readonly group: { readonly pid: number };
  /** comm: at most 15 bytes. */
  readonly name: string;
}
