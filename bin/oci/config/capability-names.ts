/** Capabilities by name: capabilities(7), Linux uapi/linux/capability.h. The position is the number. */
import { NO_CAPABILITIES } from '#sentry/vfs/credentials.ts';
import type { CapabilitySet } from '#sentry/vfs/credentials.ts';
import { list, text } from './reader.ts';
import type { Reader } from './reader.ts';

export const CAPABILITY_NAMES = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_DAC_READ_SEARCH',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_LINUX_IMMUTABLE',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_BROADCAST',
  'CAP_NET_ADMIN',
  'CAP_NET_RAW',
  'CAP_IPC_LOCK',
  'CAP_IPC_OWNER',
  'CAP_SYS_MODULE',
  'CAP_SYS_RAWIO',
  'CAP_SYS_CHROOT',
  'CAP_SYS_PTRACE',
  'CAP_SYS_PACCT',
  'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT',
  'CAP_SYS_NICE',
  'CAP_SYS_RESOURCE',
  'CAP_SYS_TIME',
  'CAP_SYS_TTY_CONFIG',
  'CAP_MKNOD',
  'CAP_LEASE',
  'CAP_AUDIT_WRITE',
  'CAP_AUDIT_CONTROL',
  'CAP_SETFCAP',
  'CAP_MAC_OVERRIDE',
  'CAP_MAC_ADMIN',
  'CAP_SYSLOG',
  'CAP_WAKE_ALARM',
  'CAP_BLOCK_SUSPEND',
  'CAP_AUDIT_READ',
  'CAP_PERFMON',
  'CAP_BPF',
  'CAP_CHECKPOINT_RESTORE',
];

const NUMBERS: ReadonlyMap<string, number> = new Map(CAPABILITY_NAMES.map((name, number) => [name, number]));

/** The number of `name`, or null. */
export function capabilityNumber(name: string): number | null {
  return NUMBERS.get(name) ?? null;
}

export function withCapability({ low, high }: CapabilitySet, number: number): CapabilitySet {
  return number < 32 ? { low: (low | (1 << number)) >>> 0, high } : { low, high: (high | (1 << (number - 32))) >>> 0 };
}

const names = list(text);

/** A list of names as a set. What the kernel does not know cannot be granted, which the specification wants as a warning. */
export const capabilitySet: Reader<CapabilitySet> = (value, place) => {
  let set = NO_CAPABILITIES;
  names(value, place).forEach((name, index) => {
    const number = capabilityNumber(name);
    if (number === null) place.at(index).warn(`is not a known capability and is not granted: ${JSON.stringify(name)}`);
    else set = withCapability(set, number);
  });
  return set;
};
