// Global set-up of the groups that run the launcher: dist/ is made current, so that no test runs yesterday's bundle.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { repository } from './run.ts';

export default function setup(): void {
  if (process.env.TSVISOR_DEV === '1') return;
  const build = spawnSync(process.execPath, [join(repository, 'bin/build.ts')], { encoding: 'utf8', timeout: 60_000 });
  if (build.status !== 0) throw new Error(`the bundle cannot be built:\n${build.stdout}${build.stderr}`);
}
