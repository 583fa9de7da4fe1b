/**
 * `npm run stress -- [--seconds N] [--seed N] [--length N] [--platform NAME,…] [--place NAME] [--options=TEXT] [--native]`: random programs on Linux and
 * inside, until the time is over; a difference is made small and printed as a script, which `actors` reads on standard input.
 *
 * Each seed runs once on Linux and once on each platform. What is printed on standard error is progress. `--options` go to `tsvisor do`;
 * `--native` compares Linux with itself.
 */
import { parseArgs } from 'node:util';
import buildFirst from '../harness/build-first.ts';
import { whyMissing } from '../harness/platform-under-test.ts';
import { firstDifference, logInside, logOnLinux, type Place, places, scriptFor, shrink } from './compare.ts';
import { type Step, scriptText } from './generate.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string' },
    length: { type: 'string', default: '150' },
    platform: { type: 'string', default: 'ptrace,seccomp' },
    place: { type: 'string' },
    options: { type: 'string', default: '' },
    native: { type: 'boolean', default: false },
  },
});

const options = values.options.split(' ').filter((option) => option !== '');

type Run = (steps: readonly Step[]) => Promise<string>;

async function variants(place: Place): Promise<Map<string, Run>> {
  const found = new Map<string, Run>();
  if (values.native) return found.set('Linux again', logOnLinux);
  for (const platform of values.platform.split(',')) {
    const missing = await whyMissing(platform);
    if (missing === '') found.set(platform, (steps) => logInside(steps, place, ['--platform', platform, ...options]));
    else console.error(`${platform} is left out: ${missing}`);
  }
  return found;
}

/** Whether the two differ on a script, on which Linux agrees with itself. */
async function differs(steps: readonly Step[], inside: Run): Promise<boolean> {
  const native = await logOnLinux(steps);
  if (native === (await inside(steps))) return false;
  return native === (await logOnLinux(steps));
}

async function report(seed: number, name: string, place: Place, steps: readonly Step[], inside: Run): Promise<void> {
  console.error(`seed ${seed}, ${name}, ${place}: differs; looking for a small script`);
  const small = await shrink(steps, (rest) => differs(rest, inside));
  const difference = firstDifference(await logOnLinux(small), await inside(small));
  console.log(`seed ${seed}, ${name}, ${place}:\n${scriptText(small)}${difference}\n`);
}

async function main(): Promise<number> {
  if (!values.native) buildFirst();
  const end = Date.now() + Number(values.seconds) * 1000;
  const first = values.seed === undefined ? Date.now() % 1_000_000_000 : Number(values.seed);
  let [seeds, failures, unstable] = [0, 0, 0];
  for (let seed = first; Date.now() < end; seed++, seeds++) {
    const place = places.find((one) => one === values.place) ?? places[seed % places.length]!;
    const steps = scriptFor(seed, Number(values.length), place);
    const native = await logOnLinux(steps);
    for (const [name, inside] of await variants(place)) {
      if (native === (await inside(steps))) continue;
      if (!values.native && native !== (await logOnLinux(steps))) {
        unstable++;
        continue;
      }
      failures++;
      await report(seed, name, place, steps, inside);
    }
  }
  console.log(`${seeds} seeds from ${first}: ${failures} differences, ${unstable} scripts that differ on Linux alone`);
  return failures > 0 ? 1 : 0;
}

process.exitCode = await main();
