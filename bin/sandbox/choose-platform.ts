/**
 * Which platform runs the guests: the one asked for, or the first in the order of preference that the host allows.
 */
import type { Platform } from '#platform/contract/platform.ts';
import { PlatformUnavailable } from '#platform/host/errors.ts';
import type { LinuxHost } from '#platform/host/host.ts';
import { ALL_ROWS } from '#sentry/syscalls/table.ts';
import { transferTable } from '#sentry/syscalls/transfers.ts';
import { createPtracePlatform } from '#platform/ptrace/ptrace-platform.ts';
import { createSeccompPlatform } from '#platform/seccomp/platform.ts';

export type PlatformName = 'seccomp' | 'ptrace';
export const PLATFORM_NAMES: readonly PlatformName[] = ['seccomp', 'ptrace'];
/** Whether call sites are patched when nobody says. */
export const PATCHING_BY_DEFAULT = true;

const PREFERENCE: readonly PlatformName[] = ['seccomp', 'ptrace'];

export interface PlatformWish {
  readonly sites: boolean;
  /** Guests may be let to answer getpid and its like by themselves: nobody wants to see each call. */
  readonly keepsAnswers: boolean;
  /** The memory of guests is limited, so that none may get any by itself. */
  readonly memoryLimited: boolean;
}

const CREATE: Readonly<Record<PlatformName, (host: LinuxHost, wish: PlatformWish) => Platform>> = {
  seccomp: (host, wish) =>
    createSeccompPlatform(host, {
      memoryLimited: wish.memoryLimited,
      patching: { transfers: wish.sites ? () => transferTable(ALL_ROWS, 'x64') : null, keepsAnswers: wish.keepsAnswers },
    }),
  ptrace: (host) => createPtracePlatform(host),
};

/** Throws PlatformUnavailable, with the reason of the last that was tried. */
export function createPlatform(name: PlatformName | null, wish: PlatformWish, host: LinuxHost): Platform {
  const wanted = name === null ? PREFERENCE : [name];
  for (const [index, candidate] of wanted.entries()) {
    try {
      return CREATE[candidate](host, wish);
    } catch (error) {
      if (!(error instanceof PlatformUnavailable) || index === wanted.length - 1) throw error;
      host.log(`platform ${candidate} is not available: ${error.message}; trying ${wanted[index + 1]!}`);
    }
  }
  throw new Error('no platform to choose from');
}

/** Why the platform cannot be used here, or null when it can: it is tried. */
export function platformRefusal(name: PlatformName, host: LinuxHost): string | null {
  try {
    CREATE[name](host, { sites: false, keepsAnswers: false, memoryLimited: false }).destroy();
    return null;
  } catch (error) {
    if (error instanceof PlatformUnavailable) return error.message;
    throw error;
  }
}
