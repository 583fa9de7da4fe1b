/**
 * Compiles the small guest programs in C that the tests run on Linux and inside.
 *
 * A program is compiled once for each content: its hash, with those of the headers beside it and the flags, is part of the name of
 * the binary. Static by default, so that a test of one system call does not depend on the dynamic loader.
 *
 * A source may say `// cflags: -lm -ldl` in one of its lines to add flags.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { repository } from './run.ts';

const cache = join(repository, 'node_modules/.cache/tsvisor-guests');

export interface CompileOptions {
  linkage?: 'static' | 'dynamic';
  flags?: readonly string[];
}

/** Compiles a source, given by its path beneath `test/`, and returns the path of the binary. */
export function compileGuest(source: string, options: CompileOptions = {}): string {
  const path = resolve(repository, 'test', source);
  const text = readFileSync(path);
  const own = /\/[/*]\s*cflags:\s*([^\n*]*)/.exec(text.toString('latin1'))?.[1]?.trim().split(/\s+/) ?? [];
  const linkage = options.linkage === 'dynamic' ? [] : ['-static'];
  const flags = ['-O1', '-Wall', '-pthread', ...linkage, ...(options.flags ?? []), ...own];
  const binary = join(cache, `${basename(path, '.c')}-${contentHash(path, flags)}`);
  if (existsSync(binary)) return binary;
  mkdirSync(cache, { recursive: true });
  const fresh = `${binary}.${process.pid}`;
  const sourceFlags = flags.filter((flag) => !flag.startsWith('-l'));
  const libraries = flags.filter((flag) => flag.startsWith('-l'));
  const cc = spawnSync('cc', [...sourceFlags, '-o', fresh, path, ...libraries], { encoding: 'utf8', timeout: 60_000 });
  if (cc.status !== 0) throw new Error(`cc cannot compile ${source}:\n${cc.stderr ?? cc.error?.message}`);
  renameSync(fresh, binary);
  return binary;
}

function contentHash(path: string, flags: readonly string[]): string {
  const folder = dirname(path);
  const headers = readdirSync(folder)
    .filter((name) => name.endsWith('.h'))
    .sort();
  const hash = createHash('sha256').update(flags.join('\0'));
  for (const file of [path, ...headers.map((name) => join(folder, name))]) hash.update('\0').update(readFileSync(file));
  return hash.digest('hex').slice(0, 16);
}
