/** Values of options as runc's clients write them: sizes, numbers, durations. Errors are worded as runc's. */
import { UserError } from '../errors.ts';
import { EXIT_OCI_FAILURE } from '../oci/errors.ts';

const UNITS = 'bkmgtp';
const KIBI = 1024;

function invalid(name: string, reason: string): UserError {
  return new UserError(`invalid value for ${name}: ${reason}`, EXIT_OCI_FAILURE);
}

/** `-1`, `65536`, `64m`, `1.5GiB`: in bytes, by powers of 1024. */
export function parseMemorySize(name: string, text: string): number {
  if (text === '-1') return -1;
  const match = /^(\d+(?:\.\d+)?) ?([bkmgtp]?)(?:i?b)?$/i.exec(text);
  if (match === null) throw invalid(name, `invalid size: '${text}'`);
  const bytes = Math.floor(Number(match[1]) * KIBI ** Math.max(0, UNITS.indexOf(match[2]!.toLowerCase())));
  if (bytes > Number.MAX_SAFE_INTEGER) throw invalid(name, `'${text}' is too large`);
  return bytes;
}

export function parseWholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (!/^-?\d+$/.test(text) || !Number.isSafeInteger(value)) throw invalid(name, `"${text}" is not a whole number`);
  return value;
}

const DURATION_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** As Go writes durations: `5s`, `1m30s`, `1.5h`; in milliseconds. */
export function parseDuration(name: string, text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map(([all]) => all).join('') !== text) throw invalid(name, `"${text}" is not a duration such as 5s`);
  return parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * DURATION_MS[unit!]!, 0);
}
