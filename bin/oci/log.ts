/**
 * The runtime's log, for clients: `--log FILE --log-format text|json --debug` as runc has them, in the format of the Go library it uses (logrus).
 *
 *     const log = openLog({ file: '/run/x/log.json', format: 'json', debug: false });
 *     log.warn('config.json: …');
 *     log.error('container does not exist: web');
 *
 * containerd reads the last line with level "error", podman the whole file if it is one line: so a failure is one line, and the last. The same
 * sentence goes to standard error, where conmon, CRI-O and people read it. Without a file everything goes there, for people in plain words; but where
 * the container is to write to the same standard error, warnings go there only if it is a terminal, for a client would take them for the container's
 * output. They are kept for state.json in any case (`warnings`).
 * The file stays open: a confined sentry can still write to it, but not open it.
 */
import { fstatSync, openSync, writeSync } from 'node:fs';
import { UserError } from '../errors.ts';
import { EXIT_OCI_FAILURE } from './errors.ts';

export const LOG_FORMATS = ['text', 'json'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];
type Level = 'debug' | 'info' | 'warning' | 'error';

export interface LogOptions {
  /** null: standard error. */
  readonly file: string | null;
  readonly format: LogFormat;
  /** Whether `debug` writes anything. */
  readonly debug: boolean;
}

const STDERR = 2;

export interface LogUse {
  /** Whether a container inherits this process's standard error. */
  readonly sharesStderr?: boolean;
  readonly now?: () => Date;
}

/** @throws UserError when the file cannot be opened */
export function openLog(options: LogOptions, { sharesStderr = false, now = () => new Date() }: LogUse = {}): RuntimeLog {
  if (options.file === null) return new RuntimeLog(options, STDERR, now, sharesStderr && !isTerminal(STDERR));
  try {
    return new RuntimeLog(options, openSync(options.file, 'a', 0o644), now, false);
  } catch (error) {
    const { code = 'error' } = error as NodeJS.ErrnoException;
    throw new UserError(`the log ${options.file} cannot be written (${code}).`, EXIT_OCI_FAILURE);
  }
}

/** Nearly: /dev/null is another device that is not a file. */
function isTerminal(fd: number): boolean {
  try {
    return fstatSync(fd).isCharacterDevice();
  } catch {
    return false;
  }
}

export class RuntimeLog {
  private readonly options: LogOptions;
  private readonly now: () => Date;
  private readonly isReserved: boolean;
  /** The log file, or standard error. */
  readonly fd: number;
  /** So far. */
  readonly warnings: string[] = [];

  /** `isReserved`: only errors may be written. */
  constructor(options: LogOptions, fd: number, now: () => Date, isReserved: boolean) {
    this.options = options;
    this.fd = fd;
    this.now = now;
    this.isReserved = isReserved;
  }

  debug(sentence: string): void {
    if (this.options.debug) this.write('debug', sentence);
  }

  info(sentence: string): void {
    this.write('info', sentence);
  }

  /** What the container does not get, or gets otherwise than asked for. */
  warn(sentence: string): void {
    this.warnings.push(sentence);
    this.write('warning', sentence);
  }

  /** Why the verb failed; at most one in a process. */
  error(sentence: string): void {
    this.write('error', sentence);
    if (this.fd !== STDERR) put(STDERR, `${sentence}\n`);
  }

  private write(level: Level, sentence: string): void {
    if (level === 'error' || !this.isReserved) put(this.fd, `${this.line(level, sentence)}\n`);
  }

  private line(level: Level, msg: string): string {
    const time = this.now()
      .toISOString()
      .replace(/\.\d+Z$/, 'Z');
    if (this.options.format === 'json') return JSON.stringify({ level, msg, time });
    if (this.options.file !== null) return `time=${quoted(time)} level=${level} msg=${quoted(msg)}`;
    return level === 'error' ? `tsvisor: ${msg}` : `tsvisor: ${level}: ${msg}`;
  }
}

/** A log that cannot be written (a full disk, a reader that is gone) must not end a container. */
function put(fd: number, text: string): void {
  try {
    writeSync(fd, text);
  } catch {
    // There is nobody to tell.
  }
}

/** Words of these characters stand for themselves. */
function quoted(value: string): string {
  return /^[\w./@^+-]+$/.test(value) ? value : JSON.stringify(value);
}
