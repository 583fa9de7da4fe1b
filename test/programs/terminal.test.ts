/** A terminal passed through: Ctrl-C, Ctrl-Z, Ctrl-\, window size, job control of an interactive shell, raw mode. */
import { describe, expect, test } from 'vitest';
import { compileGuest } from '../harness/guests.ts';
import { insideCommand, type Outcome, runNative } from '../harness/run.ts';

/** Plays `steps` (see terminal.c) to a command inside. */
function play(steps: readonly string[], command: readonly string[]): Promise<Outcome> {
  const terminal = compileGuest('programs/terminal.c');
  return runNative([terminal, ...steps, '--', ...insideCommand(command)], { timeoutMs: 60_000 });
}

describe('the terminal', () => {
  test('isatty, size and name', async () => {
    const outcome = await play(
      [],
      ['sh', '-c', 'test -t 0 && test -t 1 && test -t 2 && echo three; stty size; tty | cut -c1-5; echo x > /dev/tty'],
    );
    expect(outcome.stdout.replaceAll('\r', '')).toBe('three\n24 80\n/dev/\nx\n');
    expect(outcome.status).toBe(0);
  });

  test('Ctrl-C ends a program that does not handle it', async () => {
    const outcome = await play(['expect:ready', 'sleep:200', 'send:^C'], ['sh', '-c', 'echo ready; sleep 60; echo not reached']);
    expect(outcome.stdout).not.toContain('not reached');
    expect(outcome.status).toBe(130);
  });

  test('Ctrl-C reaches a handler, and the guest goes on', async () => {
    const outcome = await play(
      ['expect:ready', 'send:^C', 'expect:caught'],
      ['sh', '-c', 'trap "echo caught; exit 9" INT; echo ready; while :; do sleep 0.05; done'],
    );
    expect(outcome.stdout).toContain('caught');
    expect(outcome.status).toBe(9);
  });

  test('Ctrl-C while the guest computes', async () => {
    const outcome = await play(['expect:ready', 'sleep:200', 'send:^C'], ['bash', '-c', 'echo ready; while :; do :; done']);
    expect(outcome.status).toBe(130);
  });

  test('a change of the window size', async () => {
    const outcome = await play(
      ['expect:ready', 'size:50x132', 'expect:50 132'],
      ['bash', '-c', 'trap "stty size; exit" WINCH; echo ready; while :; do sleep 0.05; done'],
    );
    expect(outcome.status).toBe(0);
  });

  test('typed lines, echo and end of file', async () => {
    const outcome = await play(
      ['send:hello\\r', 'expect:hello', 'expect:got hello', 'send:^D', 'expect:end'],
      ['sh', '-c', 'while read line; do echo "got $line"; done; echo end'],
    );
    expect(outcome.status).toBe(0);
  });

  test('no echo for a password, raw keys', async () => {
    const outcome = await play(
      ['expect:password', 'send:secret\\r', 'expect:6', 'expect:key', 'send:q', 'expect:<q>'],
      ['bash', '-c', 'read -s -p "password " word; echo ${#word}; read -n 1 -s -p "key " key; echo "<$key>"'],
    );
    expect(outcome.stdout).not.toContain('secret');
    expect(outcome.status).toBe(0);
  });

  test('job control of an interactive shell', async () => {
    const outcome = await play(
      [
        'expect:bash-',
        'send:sleep 60\\r',
        'sleep:300',
        'send:^Z',
        'expect:Stopped',
        'send:jobs\\r',
        'expect:Stopped',
        'send:bg\\r',
        'sleep:100',
        'send:kill %1; wait; echo over-$((1+1))\\r',
        'expect:over-2',
        'send:exit 3\\r',
      ],
      ['bash', '--norc', '-i'],
    );
    expect(outcome.status).toBe(3);
  });

  test('Ctrl-C in an interactive shell ends the job, not the shell', async () => {
    const outcome = await play(
      [
        'expect:bash-',
        // Only once the job runs is the Ctrl-C meant for it and not for the shell that is about to start it.
        'send:sh -c "echo runs-\\$((1+1)); exec sleep 60"\\r',
        'expect:runs-2',
        'send:^C',
        'expect:bash-',
        'send:echo still-$((40+2))\\r',
        'expect:still-42',
        // At the prompt the shell reads keys; before it, ^D would be an end of file for a terminal in line mode that nobody reads.
        'expect:bash-',
        'send:^D',
      ],
      ['bash', '--norc', '-i'],
    );
    expect(outcome.status).toBe(0);
  });

  test('a full-screen program', async () => {
    const outcome = await play(
      ['expect:line 1', 'send:G', 'expect:line 300', 'send:q'],
      ['sh', '-c', 'seq -f "line %g" 1 300 | TERM=vt100 less'],
    );
    expect(outcome.status).toBe(0);
  });
});
