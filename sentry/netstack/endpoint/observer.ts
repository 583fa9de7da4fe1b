/**
 * Whoever an endpoint tells of its events: the socket it belongs to.
 */
export interface EndpointObserver {
  /** Something in `events` (POLL* bits) may have become true. Called in the middle of the stack's work: only note the fact, or wake. */
  onChange(events: number): void;
}
