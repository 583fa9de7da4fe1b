/**
 * Bundles the programs of bin/ into dist/, because every verb starts a process and start-up is most of what a short guest costs.
 *
 * Measured with Node 26 on a bundle of 700 KB (medians, ms; an empty script takes 31): ES module 81, CommonJS 66, CommonJS with V8's
 * code cache 55, and 47 when koffi's native module is loaded without its wrapper. The TypeScript sources take 280.
 * So each program is a CommonJS bundle wrapped in a function, a code cache, and a loader that joins the two. A cache of another
 * Node is rejected by V8 and does no harm; one of another source is not (V8 compares lengths), therefore both carry the hash of
 * the bundle in their names. Nothing is minified: it saves no time with a cache, and stack traces stay readable.
 *
 * Entries are `bin/main.ts` and every `bin/NAME-main.ts`, which become `dist/main.js` and `dist/NAME.js`. `dist/starter` is the program that starts
 * two of them at once (bin/starter): `do -- true` ends 10 ms earlier than if the sentry launches its gofer itself, first of all.
 *
 * Rejected: a V8 start-up snapshot (node --build-snapshot). An empty one starts 12 ms later than Node with its own, more than a
 * complete one could save; native modules have to be loaded afterwards anyway.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { Script } from 'node:vm';
import type { BuildOptions, BuildResult, Plugin } from 'esbuild';
import { assembleGuestCode } from '#platform/stub/guest-code.ts';
import { defaultConfig } from './oci/config/default-config.ts';
import { assembleStarter } from './starter/code.ts';
import { executable } from './starter/executable.ts';
import { StartMode } from './starter/hand-over.ts';
import { assembleStandIn } from './stand-in/code.ts';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');

/** What a guest does while the cache of main's bundle is made. */
const WARM_UP = join(root, 'bin/warm-up.sh');

/** Programs of our own machine code: bin/starter, bin/stand-in. */
const ASSEMBLED: Readonly<Record<string, () => Uint8Array>> = { starter: assembleStarter, 'stand-in': assembleStandIn };

// The same wrapper that Node puts around a CommonJS module.
const HEAD = '(function (exports, require, module, __filename, __dirname) {';
const TAIL = '})';

/**
 * The wrappers of koffi and ffi-rs find out which of many native modules to load, in 9 and 5 ms. Here the expected one is tried at once;
 * the wrappers remain for other systems.
 */
const nativeModules: Plugin = {
  name: 'native-modules',
  setup(build) {
    build.onResolve({ filter: /^(koffi|ffi-rs)$/ }, ({ path, namespace }) =>
      namespace === 'native' ? { path, external: true } : { path, namespace: 'native' },
    );
    build.onLoad({ filter: /^koffi$/, namespace: 'native' }, () => ({
      contents: directly('koffi', '@koromix/koffi-linux-x64/linux_x64/koffi.node', 'module.exports = nativeBinding;'),
    }));
    build.onLoad({ filter: /^ffi-rs$/, namespace: 'native' }, () => ({
      contents: directly(
        'ffi-rs',
        '@yuuang/ffi-rs-linux-x64-gnu/ffi-rs.linux-x64-gnu.node',
        afterLoading(readFileSync(join(root, 'node_modules/ffi-rs/index.js'), 'utf8')),
      ),
    }));
  },
};

/** commander would run subcommands that are programs of their own, which there are none of; systemd is asked for a scope where there is one. Loading Node's module for that takes 6 ms. */
const lateModules: Plugin = {
  name: 'late-modules',
  setup(build) {
    build.onResolve({ filter: /^node:child_process$/ }, ({ path, namespace }) =>
      namespace === 'late' ? { path, external: true } : { path, namespace: 'late' },
    );
    build.onLoad({ filter: /.*/, namespace: 'late' }, ({ path }) => ({
      contents: `export const spawn = (...args) => require('${path}').spawn(...args);
        export const spawnSync = (...args) => require('${path}').spawnSync(...args);
        export default { spawn };`,
    }));
  },
};

/** The stub's code, assembled now instead of at each start. */
const readyCode: Plugin = {
  name: 'ready-code',
  setup(build) {
    build.onLoad({ filter: /\/platform\/stub\/ready-code\.ts$/ }, () => ({
      contents: `const without = ${literalOf(assembleGuestCode(false))};
        const withThem = ${literalOf(assembleGuestCode(true))};
        export const guestCode = (hasSegmentInstructions) => (hasSegmentInstructions ? withThem : without)();`,
    }));
  },
};

/** A function that makes `value` again: plain data and bytes. */
function literalOf(value: object): string {
  const bytes: string[] = [];
  const text = JSON.stringify(value, (_key, part: unknown) => {
    if (!(part instanceof Uint8Array)) return part;
    return `bytes ${bytes.push(Buffer.from(part).toString('base64')) - 1}`;
  });
  const source = text.replace(/"bytes (\d+)"/g, (_match, i: string) => `new Uint8Array(Buffer.from('${bytes[Number(i)]}', 'base64'))`);
  return `() => (${source})`;
}

function directly(wrapper: string, native: string, use: string): string {
  // By its path where it nearly always is: looking a package up takes as long as loading it.
  return `let nativeBinding = null;
    try { nativeBinding = require(__dirname + '/../node_modules/${native}'); } catch {
      try { nativeBinding = require('${native}'); } catch {}
    }
    if (nativeBinding === null) module.exports = require('${wrapper}');
    else { ${use} }`;
}

/** The part of ffi-rs' wrapper behind its search, which defines its functions in terms of `nativeBinding`. */
function afterLoading(wrapper: string): string {
  const start = wrapper.indexOf('const { DataType, createPointer');
  if (start < 0) throw new Error('ffi-rs has changed: bin/build.ts no longer knows its wrapper');
  return wrapper.slice(start);
}

function bundleOptions(entries: Record<string, string>): BuildOptions {
  return {
    entryPoints: entries,
    outdir: dist,
    write: false,
    absWorkingDir: root,
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    external: ['@koromix/*', '@yuuang/*'],
    plugins: [nativeModules, lateModules, readyCode],
    define: { 'import.meta.dirname': '__dirname', 'import.meta.filename': '__filename' },
    banner: { js: HEAD },
    footer: { js: TAIL },
    // For debuggers only: no comment in the bundle refers to it, so Node does not read it.
    sourcemap: 'external',
    logLevel: 'warning',
  };
}

/** A program that runs a bundle with its code cache. */
function loaderOf(name: string, stem: string): string {
  return `'use strict';
// Written by bin/build.ts.
const { readFileSync } = require('node:fs');
const { Script, constants } = require('node:vm');
const filename = __dirname + '/${stem}.js';
let cachedData;
try {
  cachedData = readFileSync(__dirname + '/${stem}.cache');
} catch {}
// latin1: V8 takes the bytes as they are. All of them are ASCII but for a few in comments.
const script = new Script(readFileSync(filename, 'latin1'), {
  filename,
  cachedData,
  importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
});
script.runInThisContext().call(module.exports, module.exports, require, module, __dirname + '/${name}.js', __dirname);
`;
}

// Loaded before the program: hands out the code cache as it is when the program ends, with every function in it that start-up used.
const WARM_HOOK = `'use strict';
const fs = require('node:fs');
const vm = require('node:vm');
const Plain = vm.Script;
const { TSVISOR_BUILD_CACHE, TSVISOR_BUILD_BUNDLE } = process.env;
const out = fs.openSync(TSVISOR_BUILD_CACHE, 'w');
delete process.env.TSVISOR_BUILD_CACHE;
delete process.env.TSVISOR_BUILD_BUNDLE;
let script;
vm.Script = class extends Plain {
  constructor(source, options) {
    super(source, options);
    if (options.filename === TSVISOR_BUILD_BUNDLE) script = this;
  }
};
process.on('exit', (code) => {
  if (code === 0 && script) fs.writeSync(out, script.createCachedData());
});
`;

/**
 * The cache after a real run. Against a run of /bin/true alone, one of a busy shell makes the cache a fifth larger and `do -- true` no slower, but
 * python3, gcc and a shell that starts programs faster by a tenth (measured). A cache of every function takes 2 ms more to read and gains nothing.
 *
 * `launch`: the starter and its mode, if that is to make the sandbox. null where a sandbox cannot run; then the cache of the mere compilation stays.
 */
function warmCache(stem: string, args: readonly string[], launch: readonly string[] = []): Buffer | null {
  const hook = join(dist, `warm-hook.${process.pid}.js`);
  const cache = join(dist, `${stem}.warm.${process.pid}`);
  writeFileSync(hook, WARM_HOOK);
  const [program, ...before] = [...launch, process.execPath, ...(launch.length === 0 ? [] : [join(dist, 'gofer.js')])];
  const run = spawnSync(program!, [...before, '--disable-sigusr1', '--require', hook, join(dist, 'main.js'), ...args], {
    env: {
      TSVISOR_LAUNCHER: '1',
      TSVISOR_ENV_PATH: '/usr/bin:/bin',
      TSVISOR_BUILD_CACHE: cache,
      TSVISOR_BUILD_BUNDLE: join(dist, `${stem}.js`),
    },
    stdio: 'ignore',
    timeout: 10_000,
    killSignal: 'SIGKILL',
  });
  const data = run.status === 0 && existsSync(cache) ? readFileSync(cache) : Buffer.alloc(0);
  rmSync(hook, { force: true });
  rmSync(cache, { force: true });
  return data.length > 0 ? data : null;
}

/** The same after the run of a container. What the cache in use holds stays in it, so this comes after the first. */
function warmContainer(stem: string): Buffer | null {
  const scratch = mkdtempSync(join(tmpdir(), 'tsvisor-build-'));
  const config = defaultConfig(null) as Record<string, unknown>;
  const root = { path: '/', readonly: true };
  const init = { ...(config['process'] as object), args: ['/bin/true'], terminal: false };
  writeFileSync(join(scratch, 'config.json'), JSON.stringify({ ...config, root, process: init }));
  try {
    const verb = ['--root', join(scratch, 'state'), '--log', join(scratch, 'log'), 'run', '--bundle', scratch, 'warm-up'];
    return warmCache(stem, verb, [join(dist, 'starter'), StartMode.Attended]);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

// Run in a process of its own, because V8 does not look at a cache where it has compiled the source already.
const CHECK = `
const { readFileSync } = require('node:fs');
for (const stem of process.argv.slice(1)) {
  const cachedData = readFileSync(stem + '.cache');
  if (new (require('node:vm').Script)(readFileSync(stem + '.js', 'latin1'), { cachedData }).cachedDataRejected) throw new Error(stem);
}`;

/** Throws if V8 would not take a cache that it made: nothing but the time of each start would ever tell. */
function checkCaches(stems: Iterable<string>): void {
  const { status, stderr } = spawnSync(process.execPath, ['-e', CHECK, ...stems], { cwd: dist, encoding: 'utf8' });
  if (status !== 0) throw new Error(`a code cache is not accepted: ${stderr}`);
}

/** By rename, so that a sandbox that starts meanwhile reads the old or the new file and never half of one. */
function writeWhole(name: string, contents: string | Uint8Array, mode = 0o644): void {
  const fresh = join(dist, `${name}.${process.pid}`);
  writeFileSync(fresh, contents, { mode });
  renameSync(fresh, join(dist, name));
}

function entryPoints(): Record<string, string> {
  const entries: Record<string, string> = {};
  for (const file of readdirSync(join(root, 'bin'))) {
    const match = /^(?:([a-z]+)-)?main\.ts$/.exec(file);
    if (match) entries[match[1] ?? 'main'] = `bin/${file}`;
  }
  return entries;
}

/** Once for each bundle, whether it succeeds or not. */
function warmUp(stem: string): void {
  if (existsSync(join(dist, `${stem}.warm`))) return;
  const guest = (...args: string[]) => warmCache(stem, ['do', '--', ...args]);
  for (const warm of [() => guest('/bin/sh', WARM_UP) ?? guest('/bin/true') ?? warmCache(stem, ['--version']), () => warmContainer(stem)]) {
    const cache = warm();
    if (cache !== null) writeWhole(`${stem}.cache`, cache);
  }
  writeWhole(`${stem}.warm`, '');
}

/** Bundles of earlier builds go when no start can be under way any more that read an old loader. */
function removeOld(keep: Set<string>): void {
  const hourAgo = Date.now() - 3_600_000;
  for (const file of readdirSync(dist)) {
    if (!keep.has(file) && statSync(join(dist, file)).mtimeMs < hourAgo) rmSync(join(dist, file), { force: true });
  }
}

/** Of a bundle and of what makes its cache: a better way to make it counts as another bundle. */
function hashOf(bundle: Uint8Array): string {
  const hash = createHash('sha256').update(bundle);
  for (const maker of [import.meta.filename, WARM_UP]) hash.update(readFileSync(maker));
  return hash.digest('hex').slice(0, 12);
}

/** Writes bundle, map and code cache. Returns the name without extension. */
function install(name: string, output: BuildResult): string {
  const fileOf = (suffix: string) => output.outputFiles?.find((file) => file.path.endsWith(`/${name}${suffix}`));
  const bundle = fileOf('.js');
  if (bundle === undefined) throw new Error(`esbuild wrote no ${name}.js`);
  const stem = `${name}-${hashOf(bundle.contents)}`;
  if (!existsSync(join(dist, `${stem}.cache`))) {
    writeWhole(`${stem}.js`, bundle.contents);
    writeWhole(`${stem}.js.map`, fileOf('.js.map')?.contents ?? '');
    writeWhole(`${stem}.cache`, compile(name, join(dist, `${stem}.js`)));
  }
  return stem;
}

/** The code cache of the bundle in `filename`. */
function compile(name: string, filename: string): Buffer {
  // As the loader reads it: V8 compares lengths.
  const source = readFileSync(filename, 'latin1');
  return name === 'main' ? new Script(source, { filename }).createCachedData() : compileAll(source, filename);
}

/**
 * A cache that holds every function, called at start or not. For the gofer that is right: it saves 5 ms of 42 (measured, CPU time until it
 * serves). The command's is made anew by `warmUp`: all of it would take longer to read than to compile what is used.
 */
function compileAll(source: string, filename: string): Buffer {
  setFlagsFromString('--no-lazy');
  const script = new Script(source, { filename });
  // Before the data are made: they carry V8's flags, and a process with other flags rejects them.
  setFlagsFromString('--lazy');
  return script.createCachedData();
}

async function build(): Promise<void> {
  const entries = entryPoints();
  if (entries.main === undefined) {
    console.log('build: bin/main.ts does not exist, nothing to bundle');
    return;
  }
  // Without the development dependencies the launcher runs the sources.
  const esbuild = await import('esbuild').catch(() => null);
  if (esbuild === null) {
    console.log('build: esbuild is not installed, the sources will be run instead');
    return;
  }
  const output = await esbuild.build(bundleOptions(entries));
  mkdirSync(dist, { recursive: true });
  writeWhole('package.json', '{ "type": "commonjs" }\n');
  const keep = new Set(['package.json', ...Object.keys(ASSEMBLED)]);
  const stems = new Map<string, string>();
  for (const name of Object.keys(entries)) {
    const stem = install(name, output);
    stems.set(name, stem);
    for (const file of [`${stem}.js`, `${stem}.js.map`, `${stem}.cache`, `${stem}.warm`, `${name}.js`]) keep.add(file);
  }
  // The loaders last: they make the bundles current.
  for (const [name, stem] of stems) writeWhole(`${name}.js`, loaderOf(name, stem));
  for (const [name, assemble] of Object.entries(ASSEMBLED)) writeWhole(name, executable(assemble()), 0o755);
  warmUp(stems.get('main')!);
  checkCaches(stems.values());
  removeOld(keep);
}

await build();
