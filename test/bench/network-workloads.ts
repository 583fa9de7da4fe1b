/**
 * What is measured over loopback, server and client in one sandbox: round trips and connections (network.c, timed from within), iperf3,
 * redis over TCP, nginx with wrk. A program that is not installed is left out with a line that says so.
 *
 * What is wanted is to be ahead of runsc in each, and a bulk transfer of 4 Gbit/s. Every runner has a loopback of its own; runsc's is that of its network stack, also with `--network=none`.
 */
import { writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { compileGuest } from '../harness/guests.ts';
import { output } from './measure.ts';
import type { Runner } from './runners.ts';
import type { Target, Unit, Workload } from './workloads.ts';

/** All of them, in the order of the table. `cwd` is an empty directory for their files. */
export function networkWorkloads(cwd: string): Workload[] {
  const program = compileGuest('bench/network.c', { flags: ['-O2'] });
  return [
    roundTrip('TCP round trip, loopback', [program, 'tcp-1'], cwd),
    roundTrip('UDP round trip, loopback', [program, 'udp-1'], cwd),
    roundTrip('TCP connection, loopback', [program, 'connect'], cwd),
    ...iperfWorkloads(cwd),
    ...redisWorkloads(cwd),
    ...nginxWorkloads(cwd),
  ];
}

function roundTrip(name: string, command: readonly string[], cwd: string): Workload {
  const measure = async (runner: Runner): Promise<number> => {
    const ns = Number(await output(runner, command, cwd));
    if (!(ns > 0)) throw new Error(`${command.join(' ')} printed no number`);
    return ns / 1e3;
  };
  return { name, unit: 'us', measure };
}

/** A script that prints, among other things, a figure that `pattern` finds. */
interface Script {
  readonly name: string;
  readonly unit: Unit;
  readonly target?: Target;
  readonly text: string;
  readonly pattern: RegExp;
  /** From the number printed to `unit`. */
  readonly scale?: number;
}

function scripted(cwd: string, script: Script): Workload {
  const measure = async (runner: Runner): Promise<number> => {
    const text = await output(runner, ['sh', '-c', script.text], cwd);
    const found = Number(script.pattern.exec(text)?.[1]) * (script.scale ?? 1);
    if (!(found > 0)) throw new Error(`no figure in: ${text.slice(0, 200)}`);
    return found;
  };
  return { name: script.name, unit: script.unit, ...(script.target === undefined ? {} : { target: script.target }), measure };
}

function isInstalled(...programs: readonly string[]): boolean {
  const missing = programs.filter((program) => spawnSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' }).status !== 0);
  for (const program of missing) console.log(`what needs ${program} is left out: it is not installed`);
  return missing.length === 0;
}

function iperfWorkloads(cwd: string): Workload[] {
  if (!isInstalled('iperf3')) return [];
  const script = (options: string) =>
    `iperf3 -s -1 -p 5201 >/dev/null & sleep 0.3; iperf3 -c 127.0.0.1 -p 5201 -t 3 -J ${options} >iperf.json; wait; grep -A 12 '"sum_received"' iperf.json`;
  return [
    ['iperf3, loopback', ''],
    ['iperf3 -R, loopback', '-R'],
  ].map(([name, options]) =>
    scripted(cwd, {
      name: name!,
      unit: 'Gbit/s',
      target: { atLeast: 4 },
      text: script(options!),
      pattern: /"bits_per_second":\s*([0-9.e+]+)/,
      scale: 1e-9,
    }),
  );
}

function redisWorkloads(cwd: string): Workload[] {
  if (!isInstalled('redis-server', 'redis-benchmark', 'redis-cli')) return [];
  const serve = 'redis-server --port 6379 --bind 127.0.0.1 --save "" --appendonly no >/dev/null & server=$!';
  const ready = 'until redis-cli ping 2>/dev/null | grep -q PONG; do sleep 0.05; done';
  const text = (test: string, options: string) =>
    `${serve}; ${ready}; redis-benchmark -h 127.0.0.1 -t ${test} -c 20 --csv ${options}; kill $server; wait $server`;
  const kinds = [
    ['get', 'redis get, TCP', '-n 20000'],
    ['set', 'redis set, TCP', '-n 20000'],
    ['get', 'redis get, TCP, pipelined', '-n 200000 -P 16'],
    ['set', 'redis set, TCP, pipelined', '-n 200000 -P 16'],
  ];
  return kinds.map(([test, name, options]) =>
    scripted(cwd, {
      name: name!,
      unit: '1/s',
      text: text(test!, options!),
      pattern: new RegExp(`^"${test}","([0-9.]+)"`, 'im'),
    }),
  );
}

function nginxWorkloads(cwd: string): Workload[] {
  if (!isInstalled('nginx', 'wrk')) return [];
  const directories = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path temp-${name};`).join(' ');
  const http = `access_log off; sendfile on; ${directories} server { listen 127.0.0.1:8080 backlog=1024; root .; }`;
  // Workers of root's nginx become another user otherwise, to whom this directory is closed.
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  const configuration = `${user} worker_processes 1; daemon off; pid nginx.pid; error_log stderr crit; events { worker_connections 1024; } http { ${http} }`;
  writeFileSync(join(cwd, 'nginx.conf'), `${configuration}\n`);
  writeFileSync(join(cwd, 'page.html'), 'x'.repeat(1000));
  const serve = 'nginx -e stderr -p $PWD -c nginx.conf & server=$!; sleep 0.5';
  const text = (header: string) =>
    `${serve}; wrk -t1 -c20 -d3 ${header} http://127.0.0.1:8080/page.html >wrk.out; kill $server; wait $server; ! grep Non-2xx wrk.out >&2 && cat wrk.out`;
  const pattern = /Requests\/sec:\s*([0-9.]+)/;
  return [
    scripted(cwd, { name: 'nginx with wrk', unit: '1/s', pattern, text: text('') }),
    scripted(cwd, { name: 'nginx with wrk, no keep-alive', unit: '1/s', pattern, text: text("-H 'Connection: close'") }),
  ];
}
