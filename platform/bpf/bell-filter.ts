/**
 * What the bell process may ask of the host: to wait for the epoll descriptor. `munmap` removes the page this filter came in.
 */
import type { Filter } from './assembler.ts';

export const BELL_FILTER: Filter = {
  name: 'bell',
  otherwise: 'kill',
  rules: [
    { nr: 7, name: 'poll', reason: 'waits until the host has an event for the sandbox' },
    { nr: 11, name: 'munmap', reason: 'removes the page that held this filter' },
    { nr: 219, name: 'restart_syscall', reason: 'the host resumes an interrupted poll with it' },
    { nr: 231, name: 'exit_group', reason: 'the end of the process' },
  ],
};
