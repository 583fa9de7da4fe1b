/**
 * The environment of the caller, as the guest shall get it.
 *
 * The launcher (bin/tsvisor) hands every variable NAME on as TSVISOR_ENV_NAME, so that none of them can change how Node or libc
 * behave in the sentry; here the prefix comes off again. The bytes are taken from /proc/self/environ, because `process.env`
 * decodes them as UTF-8 and an environment may hold any byte but NUL. Without the launcher (the sources run directly in
 * development) the environment is taken as it is.
 *
 * Typical sequence: `callerEnvironment()` once at start-up, then `--env` overrides, then the guest's stack. See environ(7).
 */
import { readFileSync } from 'node:fs';
import { toText } from './byte-text.ts';

const PREFIX = 'TSVISOR_ENV_';
const MARKER = 'TSVISOR_LAUNCHER=1';

/** `NAME=value` strings, one character per byte, in the caller's order. */
export function callerEnvironment(): string[] {
  return restoreEnvironment(readFileSync('/proc/self/environ', 'latin1'));
}

/** One variable of the caller, as text: for what concerns the command itself. Empty counts as unset. */
export function callerVariable(name: string): string | undefined {
  const entry = callerEnvironment().find((variable) => variable.startsWith(`${name}=`));
  return entry === undefined || entry === `${name}=` ? undefined : toText(entry.slice(name.length + 1));
}

/** The environment from the contents of an environ file: strings that each end in NUL. */
export function restoreEnvironment(environ: string): string[] {
  const entries = environ.split('\0').filter((entry) => entry !== '');
  if (!entries.includes(MARKER)) return entries;
  // What has no prefix was added by the launcher or its shell, not by the caller.
  return entries.filter((entry) => entry.startsWith(PREFIX)).map((entry) => entry.slice(PREFIX.length));
}
