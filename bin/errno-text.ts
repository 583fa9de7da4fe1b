/** What people call an error of a system call: "no such file or directory". */
import { getSystemErrorMessage } from 'node:util';
import { errnoName } from '#sentry/abi/errno.ts';

export function errnoText(errno: number): string {
  return getSystemErrorMessage(-errno) ?? errnoName(errno);
}
