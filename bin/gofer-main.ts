/**
 * The gofer process: `node gofer-main.ts [CONFIG]`, where CONFIG is the JSON of a GoferConfig, with the socket to the sentry as an inherited
 * descriptor. Without CONFIG it is the first message on descriptor 3, perhaps with a descriptor for complaints. Opens the roots, confines
 * itself, serves until the sentry is gone. It writes nothing but one line when it cannot start.
 */
import { writeSync } from 'node:fs';
import { FIDS_MAX } from '#gofer/protocol/limits.ts';
import { parseConfig } from '#gofer/server/config.ts';
import { IdMap } from '#gofer/server/id-map.ts';
import { openRoots } from '#gofer/server/roots.ts';
import { Connection, enlargeSendBuffer } from '#gofer/server/serve.ts';
import { Server } from '#gofer/server/server.ts';
import { errnoName } from '#platform/host/errors.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import { receiveMessage } from '#platform/host/messages.ts';
import { descriptorLimit, exitNow } from '#platform/host/setup-calls.ts';
import { toText } from './byte-text.ts';
import { confineGofer } from './confine/gofer.ts';

/** Descriptors that Node and the server need besides the fids and the roots. */
const OTHER_DESCRIPTORS = 96;
const FIDS_MIN = 64;

const SOCKET = 3;
const FOR_EVER = -1;
/** What one message of a socket pair can hold by default. */
const CONFIG_MAX = 192 * 1024;

let complaints = 2;

function fail(message: string): never {
  writeSync(complaints, `tsvisor gofer: ${message}\n`);
  process.exit(1);
}

/** The first message. There is none when the sentry found out that it needs no gofer. */
function receiveConfig(): string {
  const memory = allocateMemory(CONFIG_MAX);
  const descriptors = new Int32Array(1);
  const { length, descriptors: count } = receiveMessage(SOCKET, memory, 0, CONFIG_MAX, descriptors, FOR_EVER);
  if (length <= 0) exitNow(0);
  if (count > 0) complaints = descriptors[0]!;
  return Buffer.from(memory.bytes.subarray(0, length)).toString();
}

function main(text: string): void {
  const config = parseConfig(text);
  if (typeof config === 'string') fail(config);
  const opened = openRoots(config.mounts);
  if (!('roots' in opened)) fail(`cannot open ${toText(opened.path)}: ${errnoName(opened.errno)}`);
  const fids = Math.min(FIDS_MAX, descriptorLimit() - OTHER_DESCRIPTORS - opened.roots.length);
  if (fids < FIDS_MIN) fail('the limit on open files (ulimit -n) is too low; raise it to 256 or more');
  enlargeSendBuffer(config.socket);
  const { report, uid, mayChown, watches } = confineGofer(config, opened);
  const { uidMappings = [], gidMappings = [] } = config;
  const users = uidMappings.length === 0 ? null : new IdMap(uidMappings);
  const groups = gidMappings.length === 0 ? null : new IdMap(gidMappings);
  const server = new Server({ ...opened, fids, mayChown, uid, users, groups, watches, selfPrefix: '' });
  new Connection(server, config.socket).run(report.lines());
  exitNow(0);
}

// Nobody's directory is kept busy by us. The starter could not do it: what it runs may be named from where it was called.
process.chdir('/');
main(process.argv[2] ?? receiveConfig());
