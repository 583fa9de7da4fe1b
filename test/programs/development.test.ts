/** The tools of a programmer: git, gcc, make, node. */
import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { expectSame } from '../harness/expect-same.ts';
import { plainEnvironment } from '../harness/run.ts';

const identity = {
  ...plainEnvironment,
  GIT_AUTHOR_NAME: 'A',
  GIT_AUTHOR_EMAIL: 'a@example.org',
  GIT_COMMITTER_NAME: 'A',
  GIT_COMMITTER_EMAIL: 'a@example.org',
  GIT_AUTHOR_DATE: '2001-02-03T04:05:06Z',
  GIT_COMMITTER_DATE: '2001-02-03T04:05:06Z',
  GIT_CONFIG_NOSYSTEM: '1',
};
const expectScript = (text: string) => expectSame(['/bin/sh', '-ec', text], { timeoutMs: 120_000, env: identity });

describe('git', () => {
  test('init, add, commit, log, branch, merge, clone', async () => {
    const { stdout } = await expectScript(`
git init -q -b main r; cd r
for i in $(seq 1 60); do mkdir -p d$((i % 5)); seq 1 $i > d$((i % 5))/f$i; done
git add .; git commit -q -m first; git log --oneline; git status --short; git ls-files | wc -l
git checkout -q -b side; echo change >> d1/f1; git commit -q -am second; git checkout -q main; git merge -q side; git log --format='%h %an %s'
echo dirty >> d2/f2; git diff --stat; git stash -q; git status --short; git stash pop -q; git status --short
cd ..; git clone -q r clone; cd clone; git log --oneline | wc -l; git rev-parse HEAD; git gc -q; git fsck 2>&1 | tail -n 1; git grep -c 59 | sort`);
    expect(stdout).toContain('second');
  });

  test('status of a repository of a thousand files', async () => {
    await expectScript(
      'git init -q r; cd r; for i in $(seq 1 1000); do echo $i > f$i; done; git add .; git commit -q -m all; git status --short | wc -l; echo x >> f7; git status --short',
    );
  });
});

describe('gcc and make', () => {
  test('a C program is compiled and runs', async () => {
    await expectScript(`
cat > a.c <<'C'
#include <stdio.h>
#include <math.h>
int main(int argc, char **argv) { printf("%d %s %.3f\\n", argc, argv[1], sqrt(2)); return 7; }
C
gcc -O2 -Wall -o a a.c -lm; ./a one || echo $?; gcc -static -o b a.c -lm; ./b two || echo $?; gcc -E a.c | grep -c main; echo 'int main(void) { return x; }' > bad.c; gcc bad.c 2>&1 | grep -c error || true`);
  });

  test('make -j2 of a small project', async () => {
    await expectScript(`
for i in 1 2 3 4 5 6; do echo "int f$i(void) { return $i; }" > f$i.c; done
echo '#include <stdio.h>' > main.c; for i in 1 2 3 4 5 6; do echo "int f$i(void);" >> main.c; done
printf '%s\\n' 'int main(void) { printf("%d\\n", f1() + f2() + f3() + f4() + f5() + f6()); return 0; }' >> main.c
printf 'objects = main.o f1.o f2.o f3.o f4.o f5.o f6.o\\nprog: libf.a main.o\\n\\tgcc -o $@ main.o libf.a\\nlibf.a: $(filter-out main.o,$(objects))\\n\\tar rc $@ $^\\n%%.o: %%.c\\n\\tgcc -c -o $@ $<\\nclean:\\n\\trm -f *.o prog\\n' > Makefile
make -s -j2; ./prog; make -s -j2; touch f3.c; make -n | wc -l; make -s clean; ls`);
  });
});

const node = process.execPath;
describe.runIf(existsSync(node))('node', () => {
  const expectRun = (source: string) => expectSame([node, '-e', source], { timeoutMs: 120_000 });

  test('fs', async () => {
    await expectRun(`
const fs = require('fs'), path = require('path');
fs.mkdirSync('a/b/c', { recursive: true }); fs.writeFileSync('a/f', 'x'.repeat(100000)); fs.symlinkSync('f', 'a/l'); fs.copyFileSync('a/f', 'a/g');
console.log(fs.readdirSync('a', { recursive: true }).sort(), fs.statSync('a/f').size, fs.lstatSync('a/l').isSymbolicLink());
fs.promises.readFile('a/g', 'utf8').then(async (t) => { console.log(t.length); await fs.promises.rm('a', { recursive: true }); console.log(fs.existsSync('a')); });
fs.createReadStream('/usr/include/stdio.h').on('data', () => {}).on('end', () => console.log('end'));
try { fs.readFileSync('missing'); } catch (e) { console.log(e.code); }`);
  });

  test('worker_threads', async () => {
    await expectRun(`
const { Worker } = require('worker_threads');
const shared = new Int32Array(new SharedArrayBuffer(4));
let left = 3;
for (let i = 0; i < 3; i++) new Worker('const { workerData, parentPort } = require("worker_threads"); for (let i = 0; i < 1000; i++) Atomics.add(workerData, 0, 1); parentPort.postMessage("done")', { eval: true, workerData: shared })
  .on('exit', (code) => { if (--left === 0) console.log(shared[0], code); });`);
  });

  test('child_process', async () => {
    await expectRun(`
const { execFileSync, spawn, spawnSync, fork } = require('child_process');
console.log(execFileSync('seq', ['3']).toString().split('\\n').length, spawnSync('sh', ['-c', 'exit 9']).status, spawnSync('sh', ['-c', 'kill -9 $$']).signal);
const cat = spawn('cat'); let got = 0; cat.stdout.on('data', (d) => { got += d.length; }); cat.on('close', (code) => console.log(got, code)); cat.stdin.end(Buffer.alloc(300000));
const sleeper = spawn('sleep', ['10']); sleeper.on('exit', (c, s) => console.log('sleep', c, s)); setTimeout(() => sleeper.kill(), 100).unref;`);
  });

  test('timers, streams, crypto, zlib, a Unix socket', async () => {
    await expectRun(`
const net = require('net'), zlib = require('zlib'), crypto = require('crypto'), dns = require('os');
const server = net.createServer((c) => c.pipe(c)).listen('sock', () => { const c = net.connect('sock', () => c.end('echo me')); c.on('data', (d) => console.log(String(d))); c.on('close', () => server.close()); });
zlib.gzip('x'.repeat(100000), (e, z) => zlib.gunzip(z, (e, t) => console.log('zlib', t.length)));
console.log(crypto.createHash('sha256').update('a').digest('hex'), crypto.randomBytes(8).length);
crypto.pbkdf2('a', 'b', 1000, 16, 'sha1', (e, k) => setTimeout(() => console.log(k.toString('hex')), 300));`);
  });
});
