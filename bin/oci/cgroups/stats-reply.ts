/** What the sentry answers to `stats` over control.sock: its accounts of one container. Limits: null for none. */
export interface StatsReply {
  /** CPU time of all its processes, those that ended included, in nanoseconds. */
  readonly cpuNs: number;
  readonly memory: {
    readonly usageBytes: number;
    readonly peakBytes: number;
    readonly limitBytes: number | null;
    /** Beyond the memory. */
    readonly swapLimitBytes: number | null;
    readonly oomKills: number;
  };
  /** Tasks: threads, zombies included. */
  readonly pids: { readonly current: number; readonly limit: number | null };
  /** Of the sandbox's network, loopback left out. */
  readonly interfaces: readonly InterfaceStats[];
}

export interface InterfaceStats {
  readonly name: string;
  readonly rxBytes: number;
  readonly rxPackets: number;
  readonly rxErrors: number;
  readonly rxDropped: number;
  readonly txBytes: number;
  readonly txPackets: number;
  readonly txErrors: number;
  readonly txDropped: number;
}
