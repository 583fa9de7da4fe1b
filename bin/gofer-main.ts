/**
 * The gofer process: `node gofer-main.ts CONFIG`, where CONFIG is the JSON of a GoferConfig, with the socket to the sentry as an inherited
 * descriptor. Opens the roots, confines itself, serves until the sentry is gone. It writes nothing but one line to standard error when it
 * cannot start.
 */
import { FIDS_MAX } from '#gofer/protocol/limits.ts';
import { parseConfig } from '#gofer/server/config.ts';
import { openRoots } from '#gofer/server/roots.ts';
import { Connection } from '#gofer/server/serve.ts';
import { Server } from '#gofer/server/server.ts';
import { errnoName } from '#platform/host/errors.ts';
import { descriptorLimit, exitNow } from '#platform/host/setup-calls.ts';
import { confineGofer } from './confine/gofer.ts';

/** Descriptors that Node and the server need besides the fids and the roots. */
const OTHER_DESCRIPTORS = 96;
const FIDS_MIN = 64;

function fail(message: string): never {
  process.stderr.write(`tsvisor gofer: ${message}\n`);
  process.exit(1);
}

function main(text: string | undefined): void {
  const config = parseConfig(text ?? '');
  if (typeof config === 'string') fail(config);
  const opened = openRoots(config.mounts);
  if (!('roots' in opened)) fail(`cannot open ${Buffer.from(opened.path, 'latin1').toString()}: ${errnoName(opened.errno)}`);
  const fids = Math.min(FIDS_MAX, descriptorLimit() - OTHER_DESCRIPTORS - opened.roots.length);
  if (fids < FIDS_MIN) fail('the limit on open files (ulimit -n) is too low; raise it to 256 or more');
  const { report, uid, mayChown } = confineGofer(config, opened);
  const server = new Server({ ...opened, fids, mayChown, uid });
  new Connection(server, config.socket).run(report.lines());
  exitNow(0);
}

main(process.argv[2]);
