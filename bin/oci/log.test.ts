import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openLog } from './log.ts';
import type { LogOptions } from './log.ts';

const now = (): Date => new Date('2026-01-02T03:04:05.678Z');

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tsvisor-log-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

function logged(options: Partial<LogOptions>): string {
  const file = join(directory, 'log');
  const log = openLog({ file, format: 'text', debug: false, ...options }, { now });
  log.debug('one');
  log.info('two');
  log.warn('three "3"');
  return readFileSync(file, 'utf8');
}

describe('a log file', () => {
  it('in JSON has a line for each entry', () => {
    expect(logged({ format: 'json' })).toBe(
      '{"level":"info","msg":"two","time":"2026-01-02T03:04:05Z"}\n' +
        '{"level":"warning","msg":"three \\"3\\"","time":"2026-01-02T03:04:05Z"}\n',
    );
  });

  it('as text has keys and values', () => {
    expect(logged({}).split('\n')).toEqual([
      'time="2026-01-02T03:04:05Z" level=info msg=two',
      'time="2026-01-02T03:04:05Z" level=warning msg="three \\"3\\""',
      '',
    ]);
  });

  it('gets warnings also where a container writes to standard error, and they can be asked for', () => {
    const log = openLog({ file: join(directory, 'log'), format: 'text', debug: false }, { now, sharesStderr: true });
    log.warn('careful');
    expect(log.warnings).toEqual(['careful']);
    expect(readFileSync(join(directory, 'log'), 'utf8')).toContain('msg=careful');
  });

  it('has more with --debug', () => {
    expect(logged({ debug: true })).toContain('level=debug msg=one\n');
  });

  it('is appended to', () => {
    expect([logged({}), logged({})].map((text) => text.split('\n').length)).toEqual([3, 5]);
  });

  it('that cannot be written is a message', () => {
    expect(() => openLog({ file: '/nonexistent/log', format: 'text', debug: false })).toThrow(
      'the log /nonexistent/log cannot be written (ENOENT).',
    );
  });
});

/** Standard error of a process that logs. */
function onStandardError(options: Partial<LogOptions>, sharesStderr = false): string {
  const script = `
    const { openLog } = await import(${JSON.stringify(join(import.meta.dirname, 'log.ts'))});
    const log = openLog(${JSON.stringify({ file: null, format: 'text', debug: false, ...options })}, { now: () => new Date(0), sharesStderr: ${sharesStderr} });
    log.warn('careful');
    log.error('it failed');`;
  return spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' }).stderr;
}

describe('standard error', () => {
  it('gets everything in plain words without a file', () => {
    expect(onStandardError({})).toBe('tsvisor: warning: careful\ntsvisor: it failed\n');
  });

  it('gets the failure only where a container writes to it as well', () => {
    expect(onStandardError({}, true)).toBe('tsvisor: it failed\n');
  });

  it('gets JSON if asked', () => {
    expect(
      onStandardError({ format: 'json' })
        .split('\n')
        .map((line) => line && (JSON.parse(line) as object)),
    ).toEqual([
      { level: 'warning', msg: 'careful', time: '1970-01-01T00:00:00Z' },
      { level: 'error', msg: 'it failed', time: '1970-01-01T00:00:00Z' },
      '',
    ]);
  });

  it('gets the failure and nothing else beside a file', () => {
    expect(onStandardError({ file: join(directory, 'log'), format: 'json' })).toBe('it failed\n');
  });
});
