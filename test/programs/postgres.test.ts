/**
 * PostgreSQL with its clients in one sandbox: a cluster made by initdb, queries over a Unix socket and over loopback, pgbench, a server killed
 * and started again. It refuses to run as root, so it is an ordinary user inside (`--user`) and on Linux.
 *
 * What it needs of the system: System V shared memory (the postmaster's interlock), POSIX shared memory, semaphores and latches over
 * signalfd and epoll, Unix sockets in the file system, fsync.
 *
 *     tsvisor do --user 65534 -- bash -c 'initdb -D data; pg_ctl -D data start; psql postgres'
 */
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { inScratch } from '../harness/expect-same.ts';
import { isRootUnderTest, type Outcome, runInside, runNative } from '../harness/run.ts';

const USER = 65534;
const TIMEOUT_MS = 90_000;

/** Debian keeps the programs of each version in a directory of its own. */
const versions = existsSync('/usr/lib/postgresql') ? readdirSync('/usr/lib/postgresql').toSorted() : [];
const programs = `/usr/lib/postgresql/${versions.at(-1)}/bin`;

const script = `
  export PATH=${programs}:$PATH PGUSER=me PGDATABASE=postgres PGPORT=5499
  start() { pg_ctl -D data -w -l log -o "-c unix_socket_directories=$PWD -c listen_addresses=127.0.0.1 -p 5499" start >out 2>&1 || { cat out log; exit 1; }; tail -1 out; }
  initdb -D data -A trust -U me --no-sync >init.log 2>&1 || { cat init.log; exit 1; }
  start
  test -S .s.PGSQL.5499 && echo socket there
  unix="psql -h $PWD -qAt" tcp="psql -h 127.0.0.1 -qAt"
  $unix -c 'create table t (n int primary key, s text)' -c "insert into t select g, md5(g::text) from generate_series(1, 5000) g"
  $tcp -c 'select count(*), sum(n), md5(string_agg(s, $$,$$ order by n)) from t'
  $tcp -c 'begin' -c 'delete from t' -c 'rollback' -c 'select count(*) from t'
  seq 1 20000 | $unix -c 'create table u (n bigint)' -c '\\copy u from stdin' -c 'set max_parallel_workers_per_gather = 2' -c 'set parallel_setup_cost = 0' -c 'set parallel_tuple_cost = 0' -c 'set min_parallel_table_scan_size = 0' -c 'select sum(n) from u'
  pgbench -h 127.0.0.1 -i -q -s 1 >/dev/null 2>&1; echo initialised $?
  pgbench -h $PWD -c 4 -j 2 -t 50 2>/dev/null | grep -E 'processed|failed'
  pgbench -h 127.0.0.1 -S -M prepared -c 8 -t 100 2>/dev/null | grep -E 'processed|failed'
  $tcp -c 'select sum(abalance) = (select sum(delta) from pgbench_history) from pgbench_accounts'
  postmaster=$(head -1 data/postmaster.pid)
  kill -9 $postmaster; while pgrep -x -u $(id -u) postgres >/dev/null; do sleep 0.05; done
  start
  $unix -c 'select count(*), sum(n) from t' -c 'select count(*) from pgbench_history'
  pg_ctl -D data -w stop | tail -1
  test -e .s.PGSQL.5499 || echo socket gone
  grep -E 'PANIC|FATAL' log || echo clean`;

function onLinux(cwd: string): Promise<Outcome> {
  const asUser = isRootUnderTest ? ['setpriv', `--reuid=${USER}`, `--regid=${USER}`, '--clear-groups'] : [];
  return runNative([...asUser, '/bin/bash', '-ec', script], { cwd, timeoutMs: TIMEOUT_MS });
}

function inside(cwd: string, args: readonly string[]): Promise<Outcome> {
  const asUser = isRootUnderTest ? ['--user', `${USER}:${USER}`] : [];
  return runInside(['/bin/bash', '-ec', script], { cwd, args: [...asUser, ...args], timeoutMs: TIMEOUT_MS });
}

/** An empty directory that anybody may write to. */
function emptied(directory: string): string {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory);
  chmodSync(directory, 0o777);
  return directory;
}

describe('postgres', () => {
  test('a cluster, clients over a socket and TCP, pgbench, recovery; in the overlay and in a directory of the host', async (context) => {
    if (versions.length === 0 || !existsSync(join(programs, 'pgbench'))) context.skip('postgresql not installed');
    await inScratch(async (parent) => {
      const work = join(parent, 'work');
      const native = await onLinux(emptied(work));
      expect(native.status, native.stdout + native.stderr).toBe(0);
      const overlay = await inside(emptied(work), []);
      expect(overlay.stdout, overlay.stderr).toBe(native.stdout);
      expect(overlay.status).toBe(0);
      expect(readdirSync(work)).toEqual([]);
      const shared = await inside(emptied(work), ['--rw', work]);
      expect(shared.stdout, shared.stderr).toBe(native.stdout);
      expect(shared.status).toBe(0);
      expect(readdirSync(work)).toContain('data');
    });
  });
});
